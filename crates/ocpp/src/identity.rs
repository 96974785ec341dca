//! The charge point identity at the end of the connection URL. Leaves out whether the charger is known and
//! whether its credentials match.

use crate::version::Version;

/// The longest identity, in characters: the limit of 2.x, applied to 1.6 as well, which names none.
pub const MAX_IDENTITY_CHARS: usize = 48;

/// Why a URL path names no acceptable charge point identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The path ends in a slash or is empty.
    #[error("the URL path ends without a charge point identity")]
    Missing,
    /// The percent-encoding is broken or decodes to something that is not UTF-8.
    #[error("the charge point identity is not validly percent-encoded UTF-8")]
    Encoding,
    /// More than [`MAX_IDENTITY_CHARS`].
    #[error("the charge point identity has {0} characters, more than 48")]
    TooLong(usize),
    /// A character that this version does not allow.
    #[error("the charge point identity contains the forbidden character {0:?}")]
    ForbiddenCharacter(char),
}

/// The percent-decoded last segment of `path`, checked by the rules of `version`.
///
/// `path` is the path of the request URI; a query is cut off. 2.x forbids the colon, because the identity is
/// also the user name of Basic authentication (Part 4 §3.1.1). 1.6 allows inner spaces (its own example has
/// one). Control characters and anything beyond ASCII are refused: identities become log fields and keys.
pub fn identity_from_path(path: &str, version: Version) -> Result<String, IdentityError> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segment = path.rsplit('/').next().unwrap_or_default();
    if segment.is_empty() {
        return Err(IdentityError::Missing);
    }
    check_escapes(segment)?;
    let identity = percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_not_utf8| IdentityError::Encoding)?;
    let length = identity.chars().count();
    if length > MAX_IDENTITY_CHARS {
        return Err(IdentityError::TooLong(length));
    }
    let trimmed = identity.trim_matches(' ').len() == identity.len();
    match identity.chars().find(|&c| !is_allowed(c, version)) {
        Some(forbidden) => Err(IdentityError::ForbiddenCharacter(forbidden)),
        None if !trimmed => Err(IdentityError::ForbiddenCharacter(' ')),
        None => Ok(identity.into_owned()),
    }
}

/// Whether a character may stand in an identity of this version.
const fn is_allowed(c: char, version: Version) -> bool {
    match (c, version) {
        (' ', Version::V16) => true,
        (':', Version::V201 | Version::V21) => false,
        _ => c.is_ascii_graphic(),
    }
}

/// Refuses a percent sign without two hexadecimal digits, which the decoder would pass through as it stands.
fn check_escapes(segment: &str) -> Result<(), IdentityError> {
    let mut parts = segment.split('%');
    parts.next();
    let valid = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if parts.all(valid) {
        Ok(())
    } else {
        Err(IdentityError::Encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_is_decoded() {
        for (path, identity) in [
            ("/ocpp/CP-000001", "CP-000001"),
            ("/CP%2D7?token=1", "CP-7"),
            ("/deep/er/ocpp/RDAM%20123", "RDAM 123"),
            ("/ocpp/RDAM%7C123", "RDAM|123"),
            ("CP1", "CP1"),
        ] {
            assert_eq!(identity_from_path(path, Version::V16).as_deref(), Ok(identity));
        }
    }

    #[test]
    fn bad_paths_say_what_is_wrong() {
        let long = format!("/{}", "x".repeat(49));
        for (path, version, error) in [
            ("/ocpp/", Version::V16, IdentityError::Missing),
            ("", Version::V16, IdentityError::Missing),
            ("/ocpp/%zz", Version::V16, IdentityError::Encoding),
            ("/ocpp/CP%4", Version::V16, IdentityError::Encoding),
            ("/ocpp/%ff", Version::V16, IdentityError::Encoding),
            (&long, Version::V16, IdentityError::TooLong(49)),
            ("/CP%0A1", Version::V16, IdentityError::ForbiddenCharacter('\n')),
            ("/%20CP1", Version::V16, IdentityError::ForbiddenCharacter(' ')),
            ("/CP%C3%A9", Version::V16, IdentityError::ForbiddenCharacter('é')),
            ("/CP:1", Version::V201, IdentityError::ForbiddenCharacter(':')),
            ("/CP%3A1", Version::V21, IdentityError::ForbiddenCharacter(':')),
            ("/CP%201", Version::V21, IdentityError::ForbiddenCharacter(' ')),
        ] {
            assert_eq!(identity_from_path(path, version), Err(error), "{path}");
        }
    }

    #[test]
    fn a_colon_is_fine_in_1_6_and_48_characters_everywhere() {
        assert_eq!(identity_from_path("/CP:1", Version::V16).as_deref(), Ok("CP:1"));
        let longest = "x".repeat(48);
        assert_eq!(
            identity_from_path(&format!("/{longest}"), Version::V21),
            Ok(longest)
        );
    }
}
