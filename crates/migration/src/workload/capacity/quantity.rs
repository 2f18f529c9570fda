//! Quantities of resources: `250m`, `1.5Gi`, `2e3`.

/// A quantity in thousandths, rounded up; none if it is not one.
///
/// *Source*: Kubernetes, `apimachinery/pkg/api/resource/quantity.go`: decimal and binary suffixes, or an exponent of ten.
#[must_use]
pub(super) fn milli(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.len() > 9 || whole.len() > 18 {
        return None;
    }
    // In billionths, so that `n` and nine decimal places are exact.
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let billionths =
        digits(whole)?.checked_mul(1_000_000_000)?.checked_add(digits(&format!("{part:0<9}"))?)?;
    let (times, over) = scale(suffix)?;
    Some(billionths.checked_mul(times)?.div_ceil(over.checked_mul(1_000_000)?))
}

/// A factor and a divisor.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let power = |base: u128, exponent: u32| base.checked_pow(exponent).map(|times| (times, 1));
    match suffix {
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "" => Some((1, 1)),
        "k" => power(1000, 1),
        "M" => power(1000, 2),
        "G" => power(1000, 3),
        "T" => power(1000, 4),
        "P" => power(1000, 5),
        "E" => power(1000, 6),
        "Ki" => power(1024, 1),
        "Mi" => power(1024, 2),
        "Gi" => power(1024, 3),
        "Ti" => power(1024, 4),
        "Pi" => power(1024, 5),
        "Ei" => power(1024, 6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10_u128.checked_pow(exponent.unsigned_abs().min(18))?;
            Some(if exponent < 0 { (1, size) } else { (size, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, thousandths) in [
            ("0", Some(0)),
            ("250m", Some(250)),
            ("2", Some(2000)),
            ("1.5", Some(1500)),
            (".5", Some(500)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("1k", Some(1_000_000)),
            ("1n", Some(1)),
            ("100u", Some(1)),
            ("2e3", Some(2_000_000)),
            ("2E3", Some(2_000_000)),
            ("5e-1", Some(500)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("16Ei", Some(18_446_744_073_709_551_616_000)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("-1", None),
        ] {
            assert_eq!(milli(text), thousandths, "{text}");
        }
    }
}
