//! Pages of listings: their sizes, and the tokens that lead from one to the next. A token belongs to the filter
//! that it was given for: with another one it would skip what it must not.

use std::fmt::Debug;

use domain::ids::stable_hash;
use prost::Message;

use crate::error::ApiError;

/// Rows of a page that asks for none.
const DEFAULT: u32 = 100;
/// Most rows of a page.
pub(crate) const MAX: u32 = 1_000;

/// The rows of a page: 0 means the default. `field` names it.
pub(crate) fn size(field: &'static str, size: u32) -> Result<usize, ApiError> {
    checked_size(size).map_err(|description| ApiError::field(field, description))
}

/// The same, with what is wrong as a text.
pub(crate) fn checked_size(size: u32) -> Result<usize, String> {
    match size {
        0 => Ok(DEFAULT as usize),
        1..=MAX => Ok(size as usize),
        _ => Err(format!("must be 1 to {MAX}")),
    }
}

/// Where a listing goes on, for one filter.
pub(crate) struct Pages(u64);

impl Pages {
    /// The pages of a listing by its method and filter.
    pub(crate) fn of(method: &'static str, filter: &impl Debug) -> Self {
        Self(stable_hash(format!("{method} {filter:?}").as_bytes()))
    }

    /// Where the store goes on; none for the first page.
    pub(crate) fn read<'t>(&self, token: &'t str) -> Result<Option<&'t str>, ApiError> {
        let wrong = |why: &str| ApiError::field("page_token", why);
        if token.is_empty() {
            return Ok(None);
        }
        let (filter, place) = token
            .split_once('-')
            .ok_or_else(|| wrong("is not a token of this service"))?;
        match u64::from_str_radix(filter, 16) {
            Ok(filter) if filter == self.0 => Ok(Some(place)),
            Ok(_) => Err(wrong("belongs to a request with other filters")),
            Err(_) => Err(wrong("is not a token of this service")),
        }
    }

    /// The token of the next page; empty after the last one.
    pub(crate) fn next(&self, place: Option<String>) -> String {
        place.map_or_else(String::new, |place| format!("{:016x}-{place}", self.0))
    }
}

/// With how many rows a page is to be read again because its texts are too long for a message of `bytes`; none if
/// it fits, or has one row.
pub(crate) fn fewer_rows(bytes: usize, rows: usize, page: &impl Message) -> Option<usize> {
    (rows > 1 && page.encoded_len() > bytes).then_some(rows / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(error: &ApiError) -> &str {
        match error {
            ApiError::Invalid(wrong) => &wrong[0].field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_has_its_bounds() {
        assert_eq!(size("page_size", 0).unwrap(), 100);
        assert_eq!(size("page_size", 1_000).unwrap(), 1_000);
        assert_eq!(field(&size("limit", 1_001).unwrap_err()), "limit");
    }

    #[test]
    fn a_page_of_long_texts_is_read_again_with_fewer_rows_until_it_fits_into_a_message() {
        let page = "x".repeat(600);
        assert_eq!(fewer_rows(100, 7, &page), Some(3));
        assert_eq!(fewer_rows(100, 1, &page), None);
        assert_eq!(fewer_rows(1_000, 7, &page), None);
    }

    #[test]
    fn a_token_leads_on_with_the_filter_that_it_was_given_for_and_with_no_other() {
        let (pages, other) = (Pages::of("List", &Some("CP-1")), Pages::of("List", &Some("CP-2")));
        assert_eq!(pages.read("").unwrap(), None);
        let token = pages.next(Some("3.CP-1-x".into()));
        assert_eq!(pages.read(&token).unwrap(), Some("3.CP-1-x"));
        assert_eq!(pages.next(None), "");
        for wrong in ["nonsense", "zz-1", &other.next(Some("3.x".into())), "-"] {
            assert_eq!(field(&pages.read(wrong).unwrap_err()), "page_token", "{wrong}");
        }
    }
}
