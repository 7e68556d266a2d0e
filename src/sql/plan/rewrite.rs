//! Rewriting a query's tree before it is planned: system columns, headers, and names in another case.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, LimitClause, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, Value, VisitMut, VisitorMut,
    WildcardAdditionalOptions, visit_expressions, visit_expressions_mut,
};

use crate::sql::relation::SystemColumn;

/// The functions over message headers: as users call them, and over the column of headers.
const HEADER_FUNCTIONS: [(&str, &str); 3] =
    [("header", "velo_header"), ("has_header", "velo_has_header"), ("header_keys", "velo_header_keys")];

/// Calls `change` for every expression of a query, those of its subqueries among them.
fn for_each_expression(query: &mut Query, mut change: impl FnMut(&mut Expr)) {
    unbroken(visit_expressions_mut(query, |expression| {
        change(expression);
        ControlFlow::Continue(())
    }));
}

/// A visit that cannot break off has nothing to say.
pub(super) fn unbroken(ended: ControlFlow<Infallible>) {
    match ended {
        ControlFlow::Continue(()) => {}
        ControlFlow::Break(never) => match never {},
    }
}

/// Returns a relation's name as the catalog knows it.
pub(super) fn relation_name(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    let parts = parts.map(|ident| match ident.quote_style {
        None => ident.value.to_lowercase(),
        Some(_) => ident.value.clone(),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Makes numbers with an exponent DOUBLE, as they are in SQL; the planner takes every literal with digits for exact.
pub(super) fn type_literals(query: &mut Query) {
    for_each_expression(query, |expression| {
        if let Expr::Value(value) = expression
            && let Value::Number(number, _) = &value.value
            && number.contains(['e', 'E'])
        {
            let text = Value::SingleQuotedString(number.clone()).with_span(value.span);
            *expression = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(text)),
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
        }
    });
}

/// Writes `FETCH FIRST n ROWS ONLY` as `LIMIT n`, which the planner knows.
pub(super) fn fetch_as_limit(query: &mut Query) {
    struct Fetches;
    impl VisitorMut for Fetches {
        type Break = Infallible;

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
            let Some(fetch) = query.fetch.take_if(|fetch| !fetch.percent && !fetch.with_ties) else {
                return ControlFlow::Continue(());
            };
            let one = || Expr::value(Value::Number("1".to_owned(), false));
            let rows = Some(fetch.quantity.clone().unwrap_or_else(one));
            match &mut query.limit_clause {
                None => {
                    query.limit_clause =
                        Some(LimitClause::LimitOffset { limit: rows, offset: None, limit_by: vec![] });
                }
                Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = rows,
                // Both a limit and a number to fetch: the planner says that it takes one.
                Some(_) => query.fetch = Some(fetch),
            }
            ControlFlow::Continue(())
        }
    }
    unbroken(query.visit(&mut Fetches));
}

/// Returns the parameters that a query names, `1` for `$1` and `name` for `:name`.
pub(super) fn parameters(query: &Query) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let ended = visit_expressions(query, |expression| {
        if let Expr::Value(value) = expression
            && let Value::Placeholder(name) = &value.value
        {
            names.insert(name.trim_start_matches(['$', ':']).to_owned());
        }
        ControlFlow::Continue(())
    });
    unbroken(ended);
    names
}

/// Turns header functions into functions of the column of headers.
pub(super) fn rewrite_headers(query: &mut Query) {
    for_each_expression(query, |expression| {
        if let Expr::Function(function) = expression {
            rewrite_header(function);
        }
    });
}

fn rewrite_header(function: &mut Function) {
    let name = function.name.to_string().to_lowercase();
    let Some((_, ours)) = HEADER_FUNCTIONS.iter().find(|(theirs, _)| *theirs == name) else { return };
    if let FunctionArguments::List(list) = &mut function.args {
        let headers = Expr::Identifier(Ident::new(SystemColumn::Headers.name()));
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(headers)));
        function.name = ObjectName::from(vec![Ident::new(*ours)]);
    }
}

/// Returns the system columns that a query names, and writes them as they are called.
pub(super) fn find_system_columns(query: &mut Query) -> Vec<SystemColumn> {
    let mut found = BTreeSet::new();
    let mut visit = |ident: &mut Ident| {
        if let Some(column) =
            SystemColumn::VISIBLE.into_iter().find(|column| ident.value.eq_ignore_ascii_case(column.name()))
        {
            ident.value = column.name().to_owned();
            found.insert(column);
        }
    };
    for_each_expression(query, |expression| match expression {
        Expr::Identifier(ident) => visit(ident),
        Expr::CompoundIdentifier(parts) => {
            if let Some(last) = parts.last_mut() {
                visit(last);
            }
        }
        _ => {}
    });
    found.into_iter().collect()
}

/// Keeps `*` from giving system columns, wherever a block reads a stream directly.
pub(super) fn hide_system_columns(query: &mut Query, streams: &BTreeSet<String>, system: &[SystemColumn]) {
    if system.is_empty() {
        return;
    }
    let mut visitor = HideSystemColumns { streams, system };
    unbroken(query.visit(&mut visitor));
}

struct HideSystemColumns<'a> {
    streams: &'a BTreeSet<String>,
    system: &'a [SystemColumn],
}

impl VisitorMut for HideSystemColumns<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        self.visit_set(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl HideSystemColumns<'_> {
    fn visit_set(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.visit_select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.visit_set(left);
                self.visit_set(right);
            }
            _ => {}
        }
    }

    fn visit_select(&self, select: &mut Select) {
        let factors = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        let streams: Vec<String> = factors.filter_map(|factor| self.stream(factor)).collect();
        if streams.is_empty() {
            return;
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => self.exclude(options),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if streams.contains(&relation_name(name)) =>
                {
                    self.exclude(options);
                }
                _ => {}
            }
        }
    }

    /// Returns the name under which a block reads a stream directly.
    fn stream(&self, factor: &TableFactor) -> Option<String> {
        let TableFactor::Table { name, alias, .. } = factor else { return None };
        let own = relation_name(name);
        self.streams.contains(&own).then(|| match alias {
            Some(alias) => relation_name(&ObjectName::from(vec![alias.name.clone()])),
            None => own,
        })
    }

    fn exclude(&self, options: &mut WildcardAdditionalOptions) {
        let hidden = self.system.iter().map(|column| ObjectName::from(vec![Ident::new(column.name())]));
        let mut names: Vec<ObjectName> = match options.opt_exclude.take() {
            Some(ExcludeSelectItem::Single(name)) => vec![name],
            Some(ExcludeSelectItem::Multiple(names)) => names,
            None => vec![],
        };
        names.extend(hidden);
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
}

/// Writes unquoted names as the columns are called that they mean, where only the case differs.
///
/// Unquoted names are lower case in SQL; the keys of JSON records often are not.
pub(super) fn resolve_case(query: &mut Query, columns: &BTreeSet<String>) {
    let mut by_lower: BTreeMap<String, Option<String>> = BTreeMap::new();
    for column in columns {
        let lower = column.to_lowercase();
        // Two columns that differ in case only must be quoted.
        by_lower.entry(lower).and_modify(|only| *only = None).or_insert_with(|| Some(column.clone()));
    }
    let resolve = |ident: &mut Ident| {
        if ident.quote_style.is_none()
            && let Some(Some(column)) = by_lower.get(&ident.value.to_lowercase())
            && *column != column.to_lowercase()
        {
            ident.value.clone_from(column);
            ident.quote_style = Some('"');
        }
    };
    for_each_expression(query, |expression| match expression {
        Expr::Identifier(ident) => resolve(ident),
        Expr::CompoundIdentifier(parts) => parts.last_mut().into_iter().for_each(resolve),
        _ => {}
    });
}
