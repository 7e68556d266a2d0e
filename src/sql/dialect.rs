//! [`VeloDialect`]: how sqlparser reads our SQL, and the token for `IS [NOT] DISTINCT FROM`.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Stands for `IS DISTINCT FROM` between the token pass and the syntax tree.
pub(crate) const IS_DISTINCT_FROM: &str = "IS DISTINCT FROM";
/// Stands for `IS NOT DISTINCT FROM` between the token pass and the syntax tree.
pub(crate) const IS_NOT_DISTINCT_FROM: &str = "IS NOT DISTINCT FROM";

/// Precedence of `->` and `->>`: tighter than arithmetic, looser than `::`; sqlparser has them looser than `=`.
const ARROW: u8 = 45;

/// The SQL dialect of Velostream: PostgreSQL-like, as DataFusion plans it.
///
/// sqlparser asks about a hundred times for `GenericDialect` by type; this dialect answers to that name, and switches off
/// what other products' extensions would take from plain column names (`FORMAT`, `SETTINGS`, `|>`, trailing commas, …).
#[derive(Debug, Default, Clone, Copy)]
pub struct VeloDialect;

/// Writes dialect switches that are on.
macro_rules! on {
    ($($switch:ident),* $(,)?) => { $( fn $switch(&self) -> bool { true } )* };
}

impl Dialect for VeloDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    /// Makes `IS [NOT] DISTINCT FROM` bind tighter than `AND`, and paths into JSON tighter than comparisons.
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::CustomBinaryOperator(name) if name == IS_DISTINCT_FROM || name == IS_NOT_DISTINCT_FROM => {
                Some(Ok(self.prec_value(Precedence::Is)))
            }
            Token::Arrow | Token::LongArrow | Token::HashArrow | Token::HashLongArrow => Some(Ok(ARROW)),
            _ => None,
        }
    }

    on! {
        supports_filter_during_aggregation, supports_group_by_expr, supports_unicode_string_literal,
        supports_window_function_null_treatment_arg, supports_window_clause_named_window_reference,
        supports_dictionary_syntax, support_map_literal_syntax, supports_struct_literal, supports_select_wildcard_except,
        supports_select_wildcard_exclude, supports_select_wildcard_replace, supports_select_wildcard_rename,
        allow_extract_custom, allow_extract_single_quotes, supports_extract_comma_syntax,
        supports_left_associative_joins_without_parens, supports_parens_around_table_factor,
        supports_values_as_table_factor, supports_nested_comments, supports_string_escape_constant,
        supports_array_typedef_with_brackets, supports_bitwise_shift_operators,
        supports_named_fn_args_with_assignment_operator, supports_interval_options, supports_comma_separated_trim,
        supports_map_literal_with_angle_brackets,
    }
}
