//! How a source file begins and how long it may be.
//!
//! Left out: whether the header says anything useful; reviewers judge that.

/// The longest source file.
const LONGEST: usize = 400;

/// What a Lua script's leading comment must name.
const LUA_PARTS: [&str; 3] = ["KEYS", "ARGV", "output"];

/// A Rust file opens with `//!` and stays short.
pub(super) fn check_rust(text: &str) -> Vec<(usize, String)> {
    let mut problems = too_long(text);
    let first = text.lines().next().unwrap_or_default();
    if first
        .strip_prefix("//!")
        .is_none_or(|rest| rest.trim().is_empty())
    {
        problems.push((
            1,
            "must open with `//!`: what this file is and what it leaves out".to_owned(),
        ));
    }
    problems
}

/// A Lua script opens with comment lines that list its keys, its arguments and its output.
///
/// A script's name ends with its number of keys (`runDue-1`); other files are parts that scripts share, whose
/// comment is free.
pub(super) fn check_lua(stem: &str, text: &str) -> Vec<(usize, String)> {
    let mut problems = too_long(text);
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
    let header = header.join("\n").to_lowercase();
    if header.is_empty() {
        problems.push((1, "must open with a comment: what this file does".to_owned()));
    } else if is_script(stem) {
        let missing: Vec<&str> = LUA_PARTS
            .into_iter()
            .filter(|part| !header.contains(&part.to_lowercase()))
            .collect();
        if !missing.is_empty() {
            problems.push((
                1,
                format!("the leading comment does not name its {}", missing.join(", ")),
            ));
        }
    }
    problems
}

fn is_script(stem: &str) -> bool {
    stem.rsplit_once('-')
        .is_some_and(|(_, keys)| keys.parse::<u8>().is_ok())
}

fn too_long(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().count();
    if lines <= LONGEST {
        return Vec::new();
    }
    vec![(
        LONGEST + 1,
        format!("has {lines} lines, at most {LONGEST} are allowed: split it"),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_file_needs_a_header_with_words() {
        assert!(check_rust("//! What this is.\nfn main() {}\n").is_empty());
        for text in [
            "fn main() {}\n",
            "",
            "//!\nfn main() {}\n",
            "// Not a doc comment.\n",
            "\n//! Late.\n",
        ] {
            assert_eq!(check_rust(text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_lua_script_needs_keys_arguments_and_output_in_its_leading_comment() {
        let whole = "-- Claims due work.\n-- KEYS[1] timers\n-- ARGV[1] limit\n-- Output: ids\nreturn 1\n";
        assert!(check_lua("runDue-1", whole).is_empty());
        let late = "-- KEYS[1] timers\nlocal x = 1\n-- ARGV[1] limit\n-- Output: ids\n";
        let problems = check_lua("runDue-1", late);
        assert_eq!(
            problems,
            [(1, "the leading comment does not name its ARGV, output".to_owned())]
        );
    }

    #[test]
    fn a_shared_lua_part_needs_some_comment() {
        assert!(check_lua("lib", "-- What every script shares.\n").is_empty());
        assert_eq!(check_lua("lib", "local x = 1\n").len(), 1);
    }

    #[test]
    fn the_length_counts_from_the_first_line_too_many() {
        let header = "//! Long.\n".to_owned();
        assert!(check_rust(&(header.clone() + &"\n".repeat(LONGEST - 1))).is_empty());
        assert_eq!(check_rust(&(header + &"\n".repeat(LONGEST)))[0].0, LONGEST + 1);
    }
}
