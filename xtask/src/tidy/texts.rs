//! Texts that must not appear in the repository: places that exist on one machine only.
//!
//! Left out: secrets; a scanner made for them does that better.

/// The texts, split so that this file does not contain them itself, and why each is wrong.
const FORBIDDEN: [(&str, &str, &str); 2] = [
    ("../", "shared", "a folder outside the repository"),
    ("/", "work/", "a path of one machine"),
];

/// Every line that has one of them.
pub(super) fn check(text: &str) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    for (start, end, why) in FORBIDDEN {
        let forbidden = format!("{start}{end}");
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| stands_in(line, &forbidden));
        problems.extend(lines.map(|(index, _)| (index + 1, format!("names `{forbidden}`, {why}"))));
    }
    problems
}

/// Whether `line` has `forbidden` as a path's beginning, not as a part of a longer path such as `a/work/`.
fn stands_in(line: &str, forbidden: &str) -> bool {
    let inside_a_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '*');
    line.match_indices(forbidden)
        .any(|(at, _)| !line[..at].ends_with(inside_a_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found_where_it_stands() {
        let bad = format!("fine\nsee {}{}/x\n", "../", "shared");
        assert_eq!(check(&bad)[0].0, 2);
        let bad = format!("cd {}{}main", "/", "work/");
        assert_eq!(check(&bad).len(), 1);
    }

    #[test]
    fn a_longer_path_that_ends_alike_is_fine() {
        assert!(check("docs/work/notes.md\nnetwork/\n").is_empty());
    }
}
