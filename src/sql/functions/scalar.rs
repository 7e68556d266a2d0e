//! [`Scalar`]: the shape that all our row functions share, so that each is one table entry and one function.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::error::Error;

/// A result as DataFusion expects it.
pub(super) type Outcome<T> = Result<T, DataFusionError>;

/// Turns the types of the arguments into those that the function takes, which it leaves as they are; fails where they
/// do not fit.
pub(super) type Coerce = fn(&str, &[DataType]) -> Outcome<Vec<DataType>>;

/// Computes a batch of rows.
pub(super) type Invoke = fn(&ScalarFunctionArgs) -> Outcome<ColumnarValue>;

/// A function of the values of one row.
#[derive(Debug)]
pub(super) struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    coerce: Coerce,
    returns: fn(&[DataType]) -> DataType,
    invoke: Invoke,
    strict: bool,
    documentation: Option<Documentation>,
}

impl Scalar {
    /// Creates a function that gives the same value for the same arguments.
    pub(super) fn new(
        name: &'static str,
        coerce: Coerce,
        returns: fn(&[DataType]) -> DataType,
        invoke: Invoke,
    ) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, aliases: vec![], signature, coerce, returns, invoke, strict: false, documentation: None }
    }

    /// Marks the function as one that must never be computed while planning.
    pub(super) fn volatile(mut self) -> Self {
        self.signature.volatility = Volatility::Volatile;
        self
    }

    /// Marks the function as one that gives NULL for a NULL alone, so that its plan says what columns hold none.
    pub(super) fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Adds another name.
    pub(super) fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }

    /// Adds how it is written and what it does, in one line each.
    pub(super) fn help(mut self, syntax: &str, description: &str) -> Self {
        self.documentation = Some(documentation(syntax, description));
        self
    }

    /// Makes it a function that a session can register.
    pub(super) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Outcome<DataType> {
        (self.coerce)(self.name, arguments)?;
        Ok((self.returns)(arguments))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Outcome<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = !self.strict || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, nullable)))
    }

    /// Never fails: DataFusion would bury the error in its own. The same check in `return_type` reaches the user.
    fn coerce_types(&self, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
        Ok((self.coerce)(self.name, arguments).unwrap_or_else(|_| arguments.to_vec()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Outcome<ColumnarValue> {
        (self.invoke)(&args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation.as_ref()
    }
}

/// Returns the help of a function: how it is written and what it does, in one line each.
pub(super) fn documentation(syntax: &str, description: &str) -> Documentation {
    let section = DocSection { include: true, label: "Velostream Functions", description: None };
    Documentation::builder(section, description, syntax).build()
}

/// Wraps our error for the way through DataFusion.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the error for arguments that a function does not take.
pub(super) fn wrong_arguments(name: &str, arguments: &[DataType], expected: &str) -> DataFusionError {
    let got: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let message = format!("`{name}` does not take ({})", got.join(", "));
    external(Error::invalid(message).with_hint(format!("write `{expected}`")))
}

/// Returns whether a type holds text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Returns whether a type holds text, or only nulls.
pub(super) fn is_text_or_null(data_type: &DataType) -> bool {
    is_text(data_type) || data_type.is_null()
}
