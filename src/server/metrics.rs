//! `GET /metrics`.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;

use crate::error::Result;
use crate::job::{JobReport, expose};
use crate::observability::CONTENT_TYPE;
use crate::time::Clock;

/// How long a text is given out again, so that whoever asks all the time does not keep the jobs from their reports.
const KEPT_MICROS: i64 = 100_000;

/// The text that was given out last.
#[derive(Default)]
struct Given {
    at: i64,
    text: String,
}

/// Returns the route of the metrics, which `observe` says what the jobs have done for.
pub fn metrics_router(
    observe: impl Fn() -> Vec<JobReport> + Send + Sync + 'static,
    clock: Arc<dyn Clock>,
) -> Router {
    let given: Mutex<Option<Given>> = Mutex::default();
    let text = move || -> Result<String> {
        let mut given = given.lock();
        let now = clock.monotonic_micros();
        if let Some(last) = given.as_ref().filter(|last| now - last.at < KEPT_MICROS) {
            return Ok(last.text.clone());
        }
        let text = expose(&observe(), clock.now_millis()).text()?;
        *given = Some(Given { at: now, text: text.clone() });
        Ok(text)
    };
    let text = Arc::new(text);
    let not_here = || async { (StatusCode::NOT_FOUND, "there is nothing here but GET /metrics\n") };
    Router::new()
        .route("/metrics", get(move || std::future::ready(answer(text()))))
        .fallback(not_here)
        .method_not_allowed_fallback(not_here)
}

fn answer(text: Result<String>) -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    match text {
        Ok(text) => (headers, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.report()).into_response(),
    }
}
