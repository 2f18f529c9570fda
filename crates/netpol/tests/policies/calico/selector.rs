//! Calico's selectors, judged in the simplest way: the text is taken apart at what binds least. It trusts the text to be one.
//!
//! *Source*: Calico, "Network policy", section "Selectors".

/// Whether a selector is true of something whose labels these are. `all()` is true if `in_all`, `global()` if there is no namespace.
pub(crate) fn holds(
    text: &str,
    label: &dyn Fn(&str) -> Option<String>,
    in_all: bool,
    has_namespace: bool,
) -> bool {
    let text = text.trim();
    let again = |part: &str| holds(part, label, in_all, has_namespace);
    let (either, both) = (parts(text, "||"), parts(text, "&&"));
    if either.len() > 1 {
        return either.into_iter().any(again);
    }
    if both.len() > 1 {
        return both.into_iter().all(again);
    }
    if let Some(rest) = text.strip_prefix('!') {
        return !again(rest);
    }
    if let Some(inner) = text.strip_prefix('(') {
        return again(inner.strip_suffix(')').expect("a parenthesis"));
    }
    match text {
        "" => return true,
        "all()" => return in_all,
        "global()" => return !has_namespace,
        _ => {}
    }
    if let Some(key) = text.strip_prefix("has(") {
        return label(key.strip_suffix(')').expect("a parenthesis").trim()).is_some();
    }
    let (key, test) = text.split_at(text.find([' ', '=', '!']).expect("a test"));
    let (value, texts) = (label(key), quoted(test));
    let is_listed = value.as_ref().is_some_and(|value| texts.contains(value));
    let is_accepted =
        |accepts: fn(&str, &str) -> bool| value.as_ref().is_some_and(|value| accepts(value, &texts[0]));
    let test: String = test.split(['\'', '{']).next().unwrap_or_default().split_whitespace().collect();
    match &*test {
        "==" | "in" => is_listed,
        "!=" | "notin" => !is_listed,
        "contains" => is_accepted(|value, text| value.contains(text)),
        "startswith" => is_accepted(|value, text| value.starts_with(text)),
        "endswith" => is_accepted(|value, text| value.ends_with(text)),
        other => panic!("{other:?} in {text:?}"),
    }
}

/// The parts between an operator, but not where it is in parentheses or quotes.
fn parts<'t>(text: &'t str, operator: &str) -> Vec<&'t str> {
    let (mut parts, mut begin, mut depth, mut is_quoted) = (Vec::new(), 0, 0, false);
    for (index, c) in text.char_indices() {
        match c {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 && !is_quoted && index >= begin && text[index..].starts_with(operator) {
            parts.push(&text[begin..index]);
            begin = index + operator.len();
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// The texts in single quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn selectors_have_the_verdicts_of_the_documentation() {
    let label = |key: &str| (key == "role").then(|| "db-main".to_owned());
    for (text, expected) in [
        ("all()", true),
        ("!all()", false),
        ("global()", false),
        ("has(role) && !has(app)", true),
        ("has(app) || role == 'db-main'", true),
        ("role != 'db-main' || has(role) && app != 'x'", true),
        ("(role != 'db-main' || has(role)) && app == 'x'", false),
        ("role in {'a', 'db-main'}", true),
        ("role not in {'a'}", true),
        ("app not in {'a'}", true),
        ("app in {}", false),
        ("role starts with 'db'", true),
        ("role ends with 'db'", false),
        ("role contains '-'", true),
        ("app contains ''", false),
    ] {
        assert_eq!(holds(text, &label, true, true), expected, "{text}");
    }
}
