//! Ranges of addresses with exceptions, as targets write them.

use snapshot::Range;

use crate::engines::kubernetes::Block;

/// The addresses of these ranges, or all of them if there are none, but those of the others; those of one family if one is meant. Exceptions are
/// inside of their range and smaller, as the API of Kubernetes wants it.
///
/// *Source*: Calico enforces a rule that leaves out ranges of one family on packets of that family alone (projectcalico/calico, `felix/rules`,
/// `FilterRuleToIPVersion`); `networking.k8s.io/v1`, `IPBlock`.
pub(crate) fn blocks(nets: &[Range], not: &[Range], is_v6: Option<bool>) -> Vec<Block> {
    let leaves_out = |is_v6: bool| not.iter().any(|range| range.is_v6() == is_v6);
    let is_meant = |range: &Range| {
        let other = !range.is_v6();
        is_v6.is_none_or(|is_v6| is_v6 == range.is_v6())
            && (not.is_empty() || !leaves_out(other) || leaves_out(!other))
    };
    let everything = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| Range::read(text).ok());
    let all: Vec<Range> =
        if nets.is_empty() { everything.map(|(range, _)| range).collect() } else { nets.to_vec() };
    let mut cut_blocks: Vec<Block> = Vec::new();
    for range in all.into_iter().filter(is_meant) {
        if not.iter().any(|other| other.contains(range)) {
            continue;
        }
        let inside = |other: &&Range| range.contains(**other);
        let is_largest =
            |candidate: &&Range| !not.iter().any(|other| other != *candidate && other.contains(**candidate));
        let mut except: Vec<Range> = not.iter().filter(inside).filter(is_largest).copied().collect();
        except.sort_by_key(|range| range.ends());
        except.dedup();
        let block = Block { range, except };
        if !cut_blocks.contains(&block) {
            cut_blocks.push(block);
        }
    }
    cut_blocks
}

/// The ranges that have the addresses of a block together, none of them with exceptions; none if there would be more than `most`.
pub(crate) fn cut_block(block: &Block, most: usize) -> Option<Vec<Range>> {
    let mut open = vec![block.range];
    let mut pieces = Vec::new();
    while let Some(range) = open.pop() {
        if block.except.iter().any(|part| part.contains(range)) {
            continue;
        }
        match range.halves() {
            Some([first, last]) if block.except.iter().any(|part| range.contains(*part)) => {
                open.extend([last, first]);
            }
            _ => pieces.push(range),
        }
        if pieces.len() > most {
            return None;
        }
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<Range> {
        texts.iter().map(|text| Range::read(text).expect("a range").0).collect()
    }

    #[test]
    fn a_block_is_cut_around_its_exceptions() {
        let describe = |range: &str, except: &[&str], most| {
            let block = Block { range: ranges(&[range])[0], except: ranges(except) };
            cut_block(&block, most)
                .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(describe("10.0.0.0/8", &[], 1).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(
            describe("10.0.0.0/8", &["10.64.0.0/10", "10.255.0.0/16"], 9).as_deref(),
            Some(
                "10.0.0.0/10 10.128.0.0/10 10.192.0.0/11 10.224.0.0/12 10.240.0.0/13 10.248.0.0/14 10.252.0.0/15 10.254.0.0/16"
            )
        );
        assert_eq!(describe("10.0.0.0/31", &["10.0.0.1/32"], 1).as_deref(), Some("10.0.0.0/32"));
        assert_eq!(describe("::/0", &["::1/128"], 127), None);
        assert_eq!(describe("::/0", &["::1/128"], 128).map(|all| all.split(' ').count()), Some(128));
    }

    #[test]
    fn exceptions_are_inside_of_their_range() {
        let describe = |nets: &[&str], not: &[&str], is_v6| {
            let word = |block: &Block| {
                let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
                format!("{} but {}", block.range, except.join(" "))
            };
            blocks(&ranges(nets), &ranges(not), is_v6).iter().map(word).collect::<Vec<_>>()
        };
        assert_eq!(describe(&["10.0.0.0/8", "10.0.0.0/8"], &[], None), ["10.0.0.0/8 but "]);
        assert_eq!(
            describe(&["10.0.0.0/8", "10.1.0.0/16"], &["10.1.2.0/24", "10.1.0.0/16", "172.16.0.0/12"], None),
            ["10.0.0.0/8 but 10.1.0.0/16"]
        );
        // A rule that leaves out ranges of one family is for no packet of the other.
        assert_eq!(describe(&[], &["10.0.0.0/8"], None), ["0.0.0.0/0 but 10.0.0.0/8"]);
        assert_eq!(describe(&["fd00::/8"], &["10.0.0.0/8"], None), [""; 0]);
        assert_eq!(
            describe(&[], &["10.0.0.0/8", "fd00::/8"], None),
            ["0.0.0.0/0 but 10.0.0.0/8", "::/0 but fd00::/8"]
        );
        assert_eq!(describe(&[], &[], Some(true)), ["::/0 but "]);
        assert_eq!(describe(&["10.0.0.0/8", "fd00::/8"], &[], Some(false)), ["10.0.0.0/8 but "]);
        assert_eq!(describe(&[], &["10.0.0.0/8"], Some(true)), [""; 0]);
    }
}
