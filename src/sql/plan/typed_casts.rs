//! Casts that a name tells: DataFusion calls `sum(CAST(v AS DOUBLE))` what it calls `sum(v)`, and refuses both in one query.

use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Query, Value, VisitMut, VisitorMut,
};

use super::rewrite::unbroken;
use crate::sql::functions::TYPED;

/// Returns `query` with the casts inside of functions under names of their own.
pub(super) fn with_typed_casts(query: &Query) -> Query {
    let mut query = query.clone();
    unbroken(query.visit(&mut Typed { functions: 0 }));
    query
}

/// Puts casts into calls that name their types.
struct Typed {
    /// How many calls there are around the place of the visit.
    functions: usize,
}

impl VisitorMut for Typed {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        self.functions += usize::from(matches!(expr, Expr::Function(_)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        match expr {
            Expr::Function(_) => self.functions -= 1,
            Expr::Cast { data_type, .. } if self.functions > 0 => {
                let name = Expr::value(Value::SingleQuotedString(data_type.to_string()));
                *expr = call(vec![expr.clone(), name]);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn call(arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)));
    let args = FunctionArgumentList { duplicate_treatment: None, args: args.collect(), clauses: vec![] };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(TYPED)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
