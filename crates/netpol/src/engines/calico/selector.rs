//! Calico's selectors.
//!
//! *Source*: projectcalico/calico, `libcalico-go/lib/selector/parser` and `tokenizer`: white space is blanks and tabs, strings have no escapes, `!` binds
//! to what follows it, `&&` before `||`.

use snapshot::model::Text;

use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner, NAMESPACE_NAME, Test};

/// Longest key, in bytes.
const MAX_KEY: usize = 512;
/// Deepest nesting of parentheses and `!`. Calico has no limit, and no selector written by hand that comes near it.
const MAX_DEPTH: usize = 64;
/// How many characters of a selector an error shows.
const SHOWN: usize = 200;

/// Reads a selector of endpoints: pods, network sets and host endpoints. An empty one selects all.
///
/// # Errors
/// Where the text is no selector, and why.
pub fn parse(text: &str) -> Result<Expression, String> {
    read(text, own_key, Expression::Always)
}

/// Reads a selector of namespaces. `all()` is every namespace, and `global()` what is in none.
///
/// # Errors
/// As [`parse`].
pub fn parse_for_namespaces(text: &str) -> Result<Expression, String> {
    // *Source*: projectcalico/calico, `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`: `all()` is "has a namespace".
    read(text, namespace_key, has_namespace())
}

/// Reads a selector of service accounts, by their labels.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_for_accounts(text: &str) -> Result<Expression, String> {
    read(text, account_key, Expression::Always)
}

/// The pod, or whatever it is, is in a namespace.
fn has_namespace() -> Expression {
    Expression::Has(LabelOwner::Namespace, NAMESPACE_NAME.into())
}

/// What a test of a key is about.
enum Key {
    Label(LabelOwner, Text),
    /// Something that every pod has with one value.
    Fixed(&'static str),
}

/// The keys of an endpoint. *Source*: Calico, "Representing Kubernetes objects": labels that it adds to pods, and those of namespaces and of accounts with
/// a prefix (`libcalico-go/lib/backend/k8s/conversion`, `NamespaceLabelPrefix`, `ServiceAccountLabelPrefix`).
fn own_key(key: &str) -> Key {
    match key {
        "projectcalico.org/namespace" => Key::Label(LabelOwner::Namespace, NAMESPACE_NAME.into()),
        "projectcalico.org/serviceaccount" => Key::Label(LabelOwner::Account, ACCOUNT_NAME.into()),
        "projectcalico.org/orchestrator" => Key::Fixed("k8s"),
        _ => match (key.strip_prefix("pcns."), key.strip_prefix("pcsa.")) {
            (Some(rest), _) => namespace_key(rest),
            (_, Some(rest)) => account_key(rest),
            (None, None) => Key::Label(LabelOwner::Pod, key.into()),
        },
    }
}

fn namespace_key(key: &str) -> Key {
    Key::Label(
        LabelOwner::Namespace,
        if key == "projectcalico.org/name" { NAMESPACE_NAME } else { key }.into(),
    )
}

fn account_key(key: &str) -> Key {
    Key::Label(LabelOwner::Account, if key == "projectcalico.org/name" { ACCOUNT_NAME } else { key }.into())
}

fn read(text: &str, key: fn(&str) -> Key, all: Expression) -> Result<Expression, String> {
    let mut reader = Reader { text, position: 0, depth: 0, key, all };
    reader.blanks();
    if reader.rest().is_empty() {
        return Ok(Expression::Always);
    }
    let expression = reader.parse_or()?;
    if !reader.rest().is_empty() {
        return Err(reader.error_text("expected the end, && or ||"));
    }
    Ok(expression)
}

struct Reader<'t> {
    text: &'t str,
    position: usize,
    /// How many parentheses and `!` are open.
    depth: usize,
    key: fn(&str) -> Key,
    /// What `all()` means.
    all: Expression,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn blanks(&mut self) {
        self.position = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn error_text(&self, why: &str) -> String {
        format!("selector {:?}, at {:?}: {why}", shorten(self.text), shorten(self.rest()))
    }

    /// Takes a piece of text, and the blanks behind it, if it comes next.
    fn takes(&mut self, piece: &str) -> bool {
        let is_next = self.rest().starts_with(piece);
        if is_next {
            self.position += piece.len();
            self.blanks();
        }
        is_next
    }

    fn parse_or(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.parse_and()?];
        while self.takes("||") {
            all.push(self.parse_and()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::Or(all) })
    }

    fn parse_and(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.read_term()?];
        while self.takes("&&") {
            all.push(self.read_term()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    /// Reads what is in a parenthesis or behind a `!`. A selector comes from a tenant, and each level costs a part of the stack.
    fn inner(&mut self, read: fn(&mut Self) -> Result<Expression, String>) -> Result<Expression, String> {
        if self.depth == MAX_DEPTH {
            return Err(self.error_text(&format!("parentheses and ! are nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let expression = read(self)?;
        self.depth -= 1;
        Ok(expression)
    }

    fn read_term(&mut self) -> Result<Expression, String> {
        // `!=` belongs to a key, and none comes before it here.
        if !self.rest().starts_with("!=") && self.takes("!") {
            return self.inner(Self::read_term).map(Expression::negate);
        }
        if self.takes("(") {
            let inside = self.inner(Self::parse_or)?;
            return if self.takes(")") { Ok(inside) } else { Err(self.error_text("expected )")) };
        }
        // No gap before the parenthesis, which makes these words and no keys.
        for (word, expression) in [("all(", self.all.clone()), ("global(", has_namespace().negate())] {
            if self.takes(word) {
                return if self.takes(")") { Ok(expression) } else { Err(self.error_text("expected )")) };
            }
        }
        if self.takes("has(") {
            let key = self.label()?;
            let expression = match (self.key)(key) {
                Key::Label(owner, key) => Expression::Has(owner, key),
                Key::Fixed(_) => is_pod(),
            };
            return if self.takes(")") { Ok(expression) } else { Err(self.error_text("expected )")) };
        }
        let key = self.label()?;
        self.test(key)
    }

    fn label(&mut self) -> Result<&'t str, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
        let length = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        if length == 0 || length > MAX_KEY {
            return Err(self.error_text("expected a key of a label, with letters, digits, or _ . / -"));
        }
        let key = &self.rest()[..length];
        self.position += length;
        self.blanks();
        Ok(key)
    }

    fn test(&mut self, key: &str) -> Result<Expression, String> {
        if self.takes("==") {
            let value = self.string()?;
            return Ok(self.is_in(key, vec![value]));
        }
        if self.takes("!=") {
            let value = self.string()?;
            return Ok(self.is_in(key, vec![value]).negate());
        }
        if self.word("contains", None) {
            return self.is_like(key, Test::Contains);
        }
        if self.word("starts", Some("with")) {
            return self.is_like(key, Test::Begins);
        }
        if self.word("ends", Some("with")) {
            return self.is_like(key, Test::Ends);
        }
        if self.word("not", Some("in")) {
            let values = self.set()?;
            return Ok(self.is_in(key, values).negate());
        }
        if self.word("in", None) {
            let values = self.set()?;
            return Ok(self.is_in(key, values));
        }
        Err(self.error_text("expected ==, !=, in, not in, contains, starts with or ends with"))
    }

    /// Takes a word, or two with blanks between them.
    fn word(&mut self, first: &str, second: Option<&str>) -> bool {
        let before = self.position;
        let is_word = self.takes(first) && second.is_none_or(|second| self.takes(second));
        if !is_word {
            self.position = before;
        }
        is_word
    }

    fn string(&mut self) -> Result<Text, String> {
        let quote = self.rest().chars().next().filter(|c| "'\"".contains(*c));
        let quote = quote.ok_or_else(|| self.error_text("expected a text in quotes"))?;
        let inside = &self.rest()[1..];
        let length = inside.find(quote).ok_or_else(|| self.error_text("expected a second quote"))?;
        let value = inside[..length].into();
        self.position += length + 2;
        self.blanks();
        Ok(value)
    }

    fn set(&mut self) -> Result<Vec<Text>, String> {
        if !self.takes("{") {
            return Err(self.error_text("expected {"));
        }
        let mut values = Vec::new();
        while !self.takes("}") {
            values.push(self.string()?);
            if !self.takes(",") && !self.rest().starts_with('}') {
                return Err(self.error_text("expected , or }"));
            }
        }
        Ok(values)
    }

    fn is_in(&self, key: &str, values: Vec<Text>) -> Expression {
        match (self.key)(key) {
            Key::Label(owner, key) => Expression::In(owner, key, values),
            Key::Fixed(value) => if_pod(values.iter().any(|item| **item == *value)),
        }
    }

    fn is_like(&mut self, key: &str, test: Test) -> Result<Expression, String> {
        let text = self.string()?;
        Ok(match (self.key)(key) {
            Key::Label(owner, key) => Expression::Like(owner, key, test, text),
            Key::Fixed(value) => if_pod(test.accepts(value, &text)),
        })
    }
}

/// The beginning of a text.
fn shorten(text: &str) -> &str {
    text.char_indices().nth(SHOWN).map_or(text, |(index, _)| &text[..index])
}

/// Every pod has a service account; network sets and host endpoints have none.
fn is_pod() -> Expression {
    Expression::Has(LabelOwner::Account, ACCOUNT_NAME.into())
}

fn if_pod(is_so: bool) -> Expression {
    if is_so { is_pod() } else { Expression::never() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(key: &str) -> (LabelOwner, Text) {
        (LabelOwner::Pod, key.into())
    }

    fn is(key: &str, values: &[&str]) -> Expression {
        let (owner, key) = pod(key);
        Expression::In(owner, key, values.iter().map(|value| Text::from(*value)).collect())
    }

    fn has(key: &str) -> Expression {
        Expression::Has(LabelOwner::Pod, key.into())
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("", Expression::Always),
            (" \t", Expression::Always),
            ("all()", Expression::Always),
            ("all( )", Expression::Always),
            ("a == 'b'", is("a", &["b"])),
            ("a==\"b'c\"", is("a", &["b'c"])),
            ("a != 'b'", is("a", &["b"]).negate()),
            ("a in {'b', \"c\",}", is("a", &["b", "c"])),
            ("a in {}", is("a", &[])),
            ("a not  in {'b'}", is("a", &["b"]).negate()),
            ("has( a.b/c-d_e )", has("a.b/c-d_e")),
            ("!!has(a)", has("a").negate().negate()),
            ("! a == 'b'", is("a", &["b"]).negate()),
            ("a contains 'b'", Expression::Like(LabelOwner::Pod, "a".into(), Test::Contains, "b".into())),
            ("a starts with 'b'", Expression::Like(LabelOwner::Pod, "a".into(), Test::Begins, "b".into())),
            ("a ends\twith 'b'", Expression::Like(LabelOwner::Pod, "a".into(), Test::Ends, "b".into())),
            (
                "has(a) || has(b) && has(c)",
                Expression::Or(vec![has("a"), Expression::And(vec![has("b"), has("c")])]),
            ),
            (
                "(has(a)||has(b))&&!has(c)",
                Expression::And(vec![Expression::Or(vec![has("a"), has("b")]), has("c").negate()]),
            ),
            ("has(all)", has("all")),
            ("allow == 'x'", is("allow", &["x"])),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_an_error_that_shows_the_place() {
        for text in [
            "a",
            "a = 'b'",
            "a == b",
            "a == 'b",
            "a == 'b' &",
            "a == 'b' c",
            "a in 'b'",
            "a in {'b' 'c'}",
            "(a == 'b'",
            "has (a)",
            "has(a",
            "all (x)",
            "has()",
            "&& has(a)",
            "has(a)\n&& has(b)",
            "'a' == 'b'",
            "!",
            "a not 'b'",
            "a in {,}",
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.starts_with(&format!("selector {text:?}, at ")), "{why}");
        }
        assert!(parse(&format!("has({})", "k".repeat(512))).is_ok());
        assert!(parse(&format!("has({})", "k".repeat(513))).is_err());
    }

    #[test]
    fn a_selector_is_nested_as_deep_as_people_write_and_no_deeper() {
        let nested = |depth: usize| format!("{}has(a){}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(parse(&nested(40)), Ok(has("a")));
        assert_eq!(parse(&nested(4).replace("has", "!has")), Ok(has("a").negate()));
        // One after the other is not one in the other.
        assert!(parse(&vec![nested(3); 1000].join(" && ")).is_ok());
        for text in [nested(50_000), "(".repeat(50_000), format!("{}has(a)", "!".repeat(50_000))] {
            let why = parse(&text).expect_err("too deep");
            assert!(why.contains("nested") && why.len() < 1000, "{}", &why[..200]);
        }
    }

    #[test]
    fn keys_of_calico_are_those_of_kubernetes() {
        let namespace =
            |value: &str| Expression::In(LabelOwner::Namespace, NAMESPACE_NAME.into(), vec![value.into()]);
        assert_eq!(parse("projectcalico.org/namespace == 'shop'"), Ok(namespace("shop")));
        assert_eq!(parse_for_namespaces("projectcalico.org/name == 'shop'"), Ok(namespace("shop")));
        assert_eq!(parse("pcns.team == 'a'"), parse_for_namespaces("team == 'a'"));
        assert_eq!(parse("projectcalico.org/orchestrator == 'k8s'"), Ok(is_pod()));
        assert_eq!(parse("projectcalico.org/orchestrator != 'k8s'"), Ok(is_pod().negate()));
        let account = Expression::In(LabelOwner::Account, ACCOUNT_NAME.into(), vec!["web".into()]);
        assert_eq!(parse("projectcalico.org/serviceaccount == 'web'"), Ok(account.clone()));
        assert_eq!(parse_for_accounts("projectcalico.org/name == 'web'"), Ok(account));
        assert_eq!(parse_for_namespaces("all()"), Ok(has_namespace()));
        assert_eq!(parse_for_namespaces("global()"), Ok(has_namespace().negate()));
        assert_eq!(parse_for_namespaces("!all()"), Ok(has_namespace().negate()));
    }
}
