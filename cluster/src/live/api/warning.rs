//! The header `Warning`, by which an API server says what it will not refuse.
//!
//! *Source*: Kubernetes, `staging/src/k8s.io/apimachinery/pkg/util/net/http.go`, `NewWarningHeader`, and RFC 7234, 5.5: `299 - "text"`, in which a backslash
//! stands before a quote or a backslash. A header may hold several, with commas between them.

/// The texts of one header. One that has another form is a text as it is: a warning must not get lost.
pub(in crate::live) fn warnings(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = header;
    while let Some((_, quoted)) = rest.split_once('"') {
        let (mut text, mut end, mut is_escaped) = (String::new(), None, false);
        for (index, c) in quoted.char_indices() {
            match c {
                '\\' if !is_escaped => is_escaped = true,
                '"' if !is_escaped => {
                    end = Some(index);
                    break;
                }
                c => {
                    text.push(c);
                    is_escaped = false;
                }
            }
        }
        texts.push(text);
        rest = end.map_or("", |end| &quoted[end + 1..]);
    }
    if texts.is_empty() { vec![header.to_owned()] } else { texts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_its_text() {
        for (header, texts) in [
            (r#"299 - "unknown field \"spec.x\"""#, &[r#"unknown field "spec.x""#][..]),
            (r#"299 - "a\\b", 299 kube-apiserver "c, d""#, &[r"a\b", "c, d"]),
            (r#"299 - "cut off"#, &["cut off"]),
            ("not as it should be", &["not as it should be"]),
        ] {
            assert_eq!(warnings(header), texts, "{header}");
        }
    }
}
