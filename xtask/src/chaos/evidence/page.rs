//! The page as sections that are written one by one: a run of seeds leaves the scenarios as they are, and a scenario
//! leaves everything else. Sections are told apart by comments that a reader of the page does not see.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a comment begins and ends with.
const BEGIN: &str = "<!-- section ";
const END: &str = " -->";

/// What the page begins with.
const HEAD: &str = "# Evidence\n\n\
    Written by `cargo xtask chaos`, not by hand. Each section is of the runs that it names, and of the versions that it names.\n";

/// The section of the seeds; the others are of scenarios.
pub(super) const SEEDS: &str = "seeds";

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    sections: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page. What stands before the sections is the page's head and written anew; a page without any section
    /// is of an older form, which knew seeds only.
    pub(super) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        if !text.contains(BEGIN) {
            let old = text.trim().trim_start_matches("# Evidence").trim();
            if !old.is_empty() {
                page.put(SEEDS, old);
            }
            return page;
        }
        let mut current: Option<String> = None;
        for line in text.lines() {
            let name = line
                .strip_prefix(BEGIN)
                .and_then(|rest| rest.strip_suffix(END))
                .map(str::to_owned);
            match (name, &current) {
                (Some(name), _) => {
                    page.sections.insert(name.clone(), String::new());
                    current = Some(name);
                }
                (None, Some(name)) => {
                    if let Some(section) = page.sections.get_mut(name) {
                        section.push_str(line);
                        section.push('\n');
                    }
                }
                (None, None) => {}
            }
        }
        page
    }

    /// Writes a section anew.
    pub(super) fn put(&mut self, name: impl Into<String>, text: &str) {
        self.sections
            .insert(name.into(), format!("\n{}\n\n", text.trim()));
    }

    /// The page: the seeds first, then `order`, then whatever else there was.
    pub(super) fn render(&self, order: &[String]) -> String {
        let mut text = HEAD.to_owned();
        let rank = |name: &String| match order.iter().position(|known| known == name) {
            _ if name == SEEDS => 0,
            Some(place) => place + 1,
            None => order.len() + 1,
        };
        let mut names: Vec<&String> = self.sections.keys().collect();
        names.sort_by_key(|name| rank(name));
        for name in names {
            // A write into a string does not fail.
            let _written = write!(text, "\n{BEGIN}{name}{END}\n\n{}\n", self.sections[name].trim());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_section_is_replaced_and_the_others_are_kept() {
        let order = ["kafka-outage".to_owned(), "clock-skew".to_owned()];
        let mut page = Page::default();
        page.put("clock-skew", "## Skew\n\nold");
        page.put(SEEDS, "## Seeds\n\n| a |\n\nold");
        let first = page.render(&order);
        let mut again = Page::parse(&first);
        assert_eq!(again.render(&order), first);
        again.put("clock-skew", "## Skew\n\nnew");
        again.put("kafka-outage", "## Outage");
        let text = again.render(&order);
        let place = |part: &str| text.find(part).unwrap();
        assert!(place("## Seeds\n\n| a |\n\nold") < place("## Outage"));
        assert!(place("## Outage") < place("## Skew\n\nnew") && !text.contains("## Skew\n\nold"));
        assert_eq!(Page::parse(&text).render(&order), text);
    }

    #[test]
    fn a_page_of_an_older_form_is_the_seeds_until_they_are_written_anew() {
        let mut page = Page::parse("# Evidence\n\n| seeds | 1..20 |\n");
        page.put("redis-full", "## Full");
        let text = page.render(&[]);
        assert!(text.contains("1..20") && text.matches("# Evidence").count() == 1);
        page.put(SEEDS, "## Seeds");
        assert!(!page.render(&[]).contains("1..20"));
        assert_eq!(Page::parse(""), Page::default());
    }
}
