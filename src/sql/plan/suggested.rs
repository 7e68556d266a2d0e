//! Columns that the use of a stream suggests: what a query can be checked with when nobody may look at the data.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query,
    Select, TableFactor, UnaryOperator, Value, Visit, Visitor,
};

use super::rewrite::{relation_name, unbroken};
use crate::config::parse_data_type;
use crate::sql::parse::{WINDOW_END, WINDOW_START};
use crate::sql::relation::SystemColumn;
use crate::sql::window_spec::WindowSpec;

/// Functions whose arguments are numbers.
const NUMERIC: &[&str] = &[
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var",
    "variance",
    "var_pop",
    "var_samp",
    "median",
    "corr",
    "covar_pop",
    "covar_samp",
    "abs",
    "round",
    "ceil",
    "floor",
    "power",
    "sqrt",
    "exp",
    "ln",
    "log",
    "log10",
    "log2",
    "sign",
    "mod",
    "trunc",
    "percentile_cont",
    "percentile_disc",
    "delta",
];

/// Functions whose arguments are times, but for texts and numbers among them.
const OF_TIMES: &[&str] = &[
    "date_trunc",
    "date_part",
    "date_format",
    "to_char",
    "datediff",
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "unix_timestamp",
    "date_bin",
];

/// Functions whose arguments have one type.
const OF_ONE_TYPE: &[&str] = &["coalesce", "nvl", "ifnull", "nullif", "greatest", "least"];

/// Functions that give one of the values of their first argument.
const GIVE_AN_ARGUMENT: &[&str] = &["min", "max", "first_value", "last_value", "nth_value", "lag", "lead"];

/// Functions that give a number.
const GIVE_NUMBERS: &[&str] =
    &["count", "length", "len", "char_length", "array_length", "cardinality", "strpos", "approx_distinct"];

/// Returns the columns of `relation` that `query` uses, typed by their use: numbers in arithmetic and numeric
/// functions, times where a time is taken, conditions where they decide, the type of what a column is compared with,
/// text otherwise. `event_time` is a time.
pub fn suggested_columns(query: &Query, relation: &str, event_time: Option<&str>) -> SchemaRef {
    let mut uses = Uses { relation: relation.to_owned(), ..Uses::default() };
    unbroken(query.visit(&mut Names(&mut uses)));
    unbroken(query.visit(&mut uses));
    uses.spread();
    if let Some(column) = event_time {
        uses.columns.insert(column.to_owned(), Some(time()));
    }
    let fields = uses
        .columns
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type.unwrap_or(DataType::Utf8), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

#[derive(Default)]
struct Uses {
    relation: String,
    /// What the relation is called in the query.
    names: BTreeSet<String>,
    columns: BTreeMap<String, Option<DataType>>,
    /// Columns that have the same type.
    alike: Vec<(String, String)>,
}

/// Finds what the relation is called.
struct Names<'a>(&'a mut Uses);

impl Visitor for Names<'_> {
    type Break = Infallible;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Infallible> {
        if let TableFactor::Table { name, alias, .. } = factor
            && relation_name(name) == self.0.relation
        {
            let own = alias.as_ref().map(|alias| relation_name(&ObjectName::from(vec![alias.name.clone()])));
            self.0.names.insert(own.unwrap_or_else(|| self.0.relation.clone()));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Uses {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Infallible> {
        for condition in [&select.selection, &select.having, &select.qualify].into_iter().flatten() {
            self.suggest(condition, Some(DataType::Boolean));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Infallible> {
        self.note(expression);
        ControlFlow::Continue(())
    }
}

impl Uses {
    fn note(&mut self, expression: &Expr) {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.suggest(expression, None),
            Expr::BinaryOp { left, op, right } => self.operands(left, op, right),
            Expr::UnaryOp { op: UnaryOperator::Not, expr }
            | Expr::IsTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsNotFalse(expr) => self.suggest(expr, Some(DataType::Boolean)),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
                self.suggest(expr, Some(DataType::Float64));
            }
            Expr::Between { expr, low, high, .. } => self.one_type(&[expr, low, high]),
            Expr::InList { expr, list, .. } => {
                self.one_type(&std::iter::once(&**expr).chain(list).collect::<Vec<_>>());
            }
            Expr::Extract { expr, .. } => self.suggest(expr, Some(time())),
            Expr::Case { operand, conditions, else_result, .. } => {
                let results: Vec<&Expr> =
                    conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).collect();
                self.one_type(&results);
                match operand {
                    Some(operand) => {
                        let values = conditions.iter().map(|when| &when.condition);
                        self.one_type(&std::iter::once(&**operand).chain(values).collect::<Vec<_>>());
                    }
                    None => conditions
                        .iter()
                        .for_each(|when| self.suggest(&when.condition, Some(DataType::Boolean))),
                }
            }
            Expr::Function(call) => self.arguments(call),
            _ => {}
        }
    }

    fn operands(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let is_interval = |expr: &Expr| matches!(expr, Expr::Interval(_));
                let other = if is_interval(left) || is_interval(right) { time() } else { DataType::Float64 };
                self.suggest(left, Some(other.clone()));
                self.suggest(right, Some(other));
            }
            BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor => {
                self.suggest(left, Some(DataType::Boolean));
                self.suggest(right, Some(DataType::Boolean));
            }
            BinaryOperator::StringConcat => {}
            _ => self.one_type(&[left, right]),
        }
    }

    fn arguments(&mut self, call: &Function) {
        let name = call.name.to_string().to_lowercase();
        let arguments = arguments(call);
        if [WINDOW_START, WINDOW_END].contains(&name.as_str()) {
            self.window(arguments.first().copied());
        } else if OF_ONE_TYPE.contains(&name.as_str()) {
            self.one_type(&arguments);
        }
        let suggested = match name.as_str() {
            name if NUMERIC.contains(&name) => DataType::Float64,
            name if OF_TIMES.contains(&name) => time(),
            _ => return,
        };
        arguments.into_iter().for_each(|argument| self.suggest(argument, Some(suggested.clone())));
    }

    /// Notes the time column of a window.
    fn window(&mut self, spec: Option<&Expr>) {
        let Some(Expr::Value(value)) = spec else { return };
        let Value::SingleQuotedString(text) = &value.value else { return };
        let spec: Option<WindowSpec> = text.parse().ok();
        if let Some(column) = spec.and_then(|spec| spec.time_column) {
            let column = column.rsplit('.').next().unwrap_or(&column).trim_matches('"').to_owned();
            let known = self.columns.entry(column).or_default();
            *known = known.take().or(Some(time()));
        }
    }

    /// Notes that expressions have one type, that of the first whose type is known.
    fn one_type(&mut self, expressions: &[&Expr]) {
        let known = expressions.iter().find_map(|expression| type_of(expression));
        for expression in expressions {
            self.suggest(expression, known.clone());
        }
        if known.is_none() {
            let columns: Vec<String> =
                expressions.iter().filter_map(|expression| self.column(expression)).collect();
            self.alike
                .extend(columns.iter().zip(columns.iter().skip(1)).map(|(a, b)| (a.clone(), b.clone())));
        }
    }

    /// Gives columns that have the same type the one that is known.
    fn spread(&mut self) {
        let alike = std::mem::take(&mut self.alike);
        // Each round reaches one further; more rounds than pairs reach nothing.
        for _ in &alike {
            for (a, b) in &alike {
                let known = [a, b].into_iter().find_map(|name| self.columns.get(name).cloned().flatten());
                for name in [a, b] {
                    let own = self.columns.entry(name.clone()).or_default();
                    *own = own.take().or_else(|| known.clone());
                }
            }
        }
    }

    fn suggest(&mut self, expression: &Expr, data_type: Option<DataType>) {
        if let Some(name) = self.column(expression) {
            let known = self.columns.entry(name).or_default();
            *known = known.take().or(data_type);
        }
    }

    /// Returns the column of the relation that an expression is.
    fn column(&self, expression: &Expr) -> Option<String> {
        let ident = match expression {
            Expr::Identifier(ident) => ident,
            Expr::CompoundIdentifier(parts) => {
                let [.., source, column] = parts.as_slice() else { return None };
                let source = relation_name(&ObjectName::from(vec![source.clone()]));
                if !self.names.contains(&source) {
                    return None;
                }
                column
            }
            Expr::Nested(inner) => return self.column(inner),
            Expr::Function(call)
                if GIVE_AN_ARGUMENT.contains(&call.name.to_string().to_lowercase().as_str()) =>
            {
                return self.column(arguments(call).first()?);
            }
            _ => return None,
        };
        SystemColumn::by_name(&ident.value.to_lowercase()).is_none().then(|| ident.value.clone())
    }
}

/// Returns the arguments of a call that are expressions.
fn arguments(call: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &call.args else { return vec![] };
    let expr = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref argument)) => Some(argument),
        _ => None,
    };
    list.args.iter().filter_map(expr).collect()
}

/// Returns the type of an expression that says it itself.
fn type_of(expression: &Expr) -> Option<DataType> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(..) => Some(DataType::Float64),
            Value::SingleQuotedString(_) => Some(DataType::Utf8),
            Value::Boolean(_) => Some(DataType::Boolean),
            _ => None,
        },
        Expr::Nested(inner)
        | Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr: inner } => type_of(inner),
        Expr::Cast { data_type, .. } => parse_data_type(&data_type.to_string()).ok(),
        Expr::TypedString(typed) => parse_data_type(&typed.data_type.to_string()).ok(),
        Expr::BinaryOp {
            op: BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo,
            ..
        } => Some(DataType::Float64),
        Expr::BinaryOp { op: BinaryOperator::Plus | BinaryOperator::Minus, left, right } => {
            let is_interval = [left, right].iter().any(|side| matches!(***side, Expr::Interval(_)));
            Some(if is_interval { time() } else { DataType::Float64 })
        }
        Expr::BinaryOp { op: BinaryOperator::StringConcat, .. } => Some(DataType::Utf8),
        Expr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            match name.as_str() {
                "now" | "current_timestamp" | "date_trunc" => Some(time()),
                "upper" | "lower" | "trim" | "concat" | "substr" | "replace" => Some(DataType::Utf8),
                name if NUMERIC.contains(&name) || GIVE_NUMBERS.contains(&name) => Some(DataType::Float64),
                _ => None,
            }
        }
        _ => None,
    }
}
