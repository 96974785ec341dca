//! The error codes of CALLERROR and CALLRESULTERROR with each version's spelling. Leaves out when they are used.

use crate::version::Version;

/// An error code by meaning. Its spelling depends on the version, and some chargers loop on a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The action is not known.
    NotImplemented,
    /// The action is known but not supported.
    NotSupported,
    /// The receiver failed while working on the message.
    InternalError,
    /// The payload is not what the action asks for.
    ProtocolError,
    /// A security matter kept the receiver from working on the message.
    SecurityError,
    /// The payload or message is malformed: `FormationViolation` in 1.6, `FormatViolation` since.
    FormatViolation,
    /// A field has a value that is not allowed.
    PropertyConstraintViolation,
    /// A field occurs too often or is missing: with one r in 1.6.
    OccurrenceConstraintViolation,
    /// A field has a wrong type.
    TypeConstraintViolation,
    /// Anything else.
    GenericError,
    /// 2.x: the message type number is not supported. 1.6 has no such code and says `NotSupported`.
    MessageTypeNotSupported,
    /// 2.x: the message is no valid RPC message. 1.6 has no such code and says `FormationViolation`.
    RpcFrameworkError,
}

impl ErrorCode {
    /// Every code, in the order of the specification's table.
    pub const ALL: [Self; 12] = [
        Self::NotImplemented,
        Self::NotSupported,
        Self::InternalError,
        Self::ProtocolError,
        Self::SecurityError,
        Self::FormatViolation,
        Self::PropertyConstraintViolation,
        Self::OccurrenceConstraintViolation,
        Self::TypeConstraintViolation,
        Self::GenericError,
        Self::MessageTypeNotSupported,
        Self::RpcFrameworkError,
    ];

    /// The spelling of this version.
    #[must_use]
    pub const fn as_str(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::NotImplemented, _) => "NotImplemented",
            (Self::NotSupported, _) | (Self::MessageTypeNotSupported, Version::V16) => "NotSupported",
            (Self::InternalError, _) => "InternalError",
            (Self::ProtocolError, _) => "ProtocolError",
            (Self::SecurityError, _) => "SecurityError",
            (Self::FormatViolation | Self::RpcFrameworkError, Version::V16) => "FormationViolation",
            (Self::FormatViolation, _) => "FormatViolation",
            (Self::PropertyConstraintViolation, _) => "PropertyConstraintViolation",
            (Self::OccurrenceConstraintViolation, Version::V16) => "OccurenceConstraintViolation",
            (Self::OccurrenceConstraintViolation, _) => "OccurrenceConstraintViolation",
            (Self::TypeConstraintViolation, _) => "TypeConstraintViolation",
            (Self::GenericError, _) => "GenericError",
            (Self::MessageTypeNotSupported, _) => "MessageTypeNotSupported",
            (Self::RpcFrameworkError, _) => "RpcFrameworkError",
        }
    }

    /// The code a peer meant. Each version's spelling is understood whatever the version of the connection,
    /// since chargers mix them up; `None` for a code of the vendor's own.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str(Version::V201) == text)
            .or_else(|| {
                Self::ALL
                    .into_iter()
                    .find(|code| code.as_str(Version::V16) == text)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_renamed_codes_have_their_versions_spelling() {
        let spelled = |code: ErrorCode| Version::ALL.map(|version| code.as_str(version));
        assert_eq!(
            spelled(ErrorCode::FormatViolation),
            ["FormationViolation", "FormatViolation", "FormatViolation"]
        );
        assert_eq!(
            spelled(ErrorCode::OccurrenceConstraintViolation)[0],
            "OccurenceConstraintViolation"
        );
        assert_eq!(
            spelled(ErrorCode::OccurrenceConstraintViolation)[1],
            "OccurrenceConstraintViolation"
        );
    }

    #[test]
    fn codes_that_1_6_lacks_are_never_spelled_in_1_6() {
        let ten: std::collections::BTreeSet<_> = ErrorCode::ALL
            .into_iter()
            .map(|code| code.as_str(Version::V16))
            .collect();
        assert_eq!(ten.len(), 10);
        assert!(!ten.contains("RpcFrameworkError") && !ten.contains("MessageTypeNotSupported"));
    }

    #[test]
    fn every_spelling_is_understood() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.as_str(Version::V21)), Some(code));
        }
        assert_eq!(
            ErrorCode::from_wire("FormationViolation"),
            Some(ErrorCode::FormatViolation)
        );
        assert_eq!(
            ErrorCode::from_wire("OccurenceConstraintViolation"),
            Some(ErrorCode::OccurrenceConstraintViolation)
        );
        assert_eq!(ErrorCode::from_wire("VendorTrouble"), None);
    }
}
