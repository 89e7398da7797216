//! Why a request is refused.

/// Every reason for which Tokengate itself refuses a request. A new one does not compile until it has a status, a code
/// and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// No snapshot, or one older than `max_snapshot_age` (U14).
    NotReady,
    /// The part of the snapshot that holds this token cannot be read.
    SnapshotUnreadable,
    /// The proxy failed at something the filter asked of it (principle 3).
    ProxyFailure,
    /// More than one credential, or one that cannot be read (U15).
    BadCredentials,
    /// The path means different things to different readers (principle 5).
    AmbiguousPath,
    /// A token of ours where tokens grant nothing (U5).
    PathNotProtected,
    /// A token of ours under a scheme that tokens do not accept (U3).
    SchemeNotAllowed,
    /// It begins like a token of ours, but its checksum is wrong (D2).
    MistypedToken,
    /// A token of our format that nobody has (U10).
    UnknownToken,
    /// Not the user whose token this is (U4).
    WrongUser,
    /// Revoked (U8).
    TokenDeleted,
    /// Its time has not come (U8).
    TokenNotYetValid,
    /// Its time is over (U8).
    TokenExpired,
    /// Its owner is suspended (U8).
    OwnerSuspended,
}

impl DenyReason {
    /// All of them, for tables and counters.
    pub const ALL: [Self; 14] = [
        Self::NotReady,
        Self::SnapshotUnreadable,
        Self::ProxyFailure,
        Self::BadCredentials,
        Self::AmbiguousPath,
        Self::PathNotProtected,
        Self::SchemeNotAllowed,
        Self::MistypedToken,
        Self::UnknownToken,
        Self::WrongUser,
        Self::TokenDeleted,
        Self::TokenNotYetValid,
        Self::TokenExpired,
        Self::OwnerSuspended,
    ];

    /// The HTTP status: 400 for what cannot be understood, 401 for who is not let in, 503 for what we cannot know.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadCredentials | Self::AmbiguousPath => 400,
            Self::PathNotProtected
            | Self::SchemeNotAllowed
            | Self::MistypedToken
            | Self::UnknownToken
            | Self::WrongUser
            | Self::TokenDeleted
            | Self::TokenNotYetValid
            | Self::TokenExpired
            | Self::OwnerSuspended => 401,
            Self::NotReady | Self::SnapshotUnreadable | Self::ProxyFailure => 503,
        }
    }

    /// The code by which programs tell reasons apart; it never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::SnapshotUnreadable => "snapshot_unreadable",
            Self::ProxyFailure => "proxy_failure",
            Self::BadCredentials => "bad_credentials",
            Self::AmbiguousPath => "ambiguous_path",
            Self::PathNotProtected => "path_not_protected",
            Self::SchemeNotAllowed => "scheme_not_allowed",
            Self::MistypedToken => "mistyped_token",
            Self::UnknownToken => "unknown_token",
            Self::WrongUser => "wrong_user",
            Self::TokenDeleted => "token_deleted",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenExpired => "token_expired",
            Self::OwnerSuspended => "owner_suspended",
        }
    }

    /// One sentence for the person at the other end: what is wrong, and what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotReady => "The proxy has no current list of tokens yet; try again shortly.",
            Self::SnapshotUnreadable => "The proxy cannot read its list of tokens; try again shortly.",
            Self::ProxyFailure => "The proxy failed while judging this request; try again shortly.",
            Self::BadCredentials => {
                "Send one Authorization header: Basic with the base64 of USER:TOKEN, or Bearer with the token."
            }
            Self::AmbiguousPath => {
                "The path could be read in more than one way; send it without ';', '#', backslashes and encoded \
                 separators."
            }
            Self::PathNotProtected => {
                "API tokens are not accepted on this path, so the request was not forwarded; use the path of a REST \
                 resource."
            }
            Self::SchemeNotAllowed => "API tokens are not accepted under this authentication scheme.",
            Self::MistypedToken => "This looks like an API token with a typing error, or a part of one; copy it again.",
            Self::UnknownToken => "There is no such API token.",
            Self::WrongUser => "This API token belongs to another user.",
            Self::TokenDeleted => "This API token has been deleted.",
            Self::TokenNotYetValid => "This API token is not valid yet.",
            Self::TokenExpired => "This API token has expired; create a new one.",
            Self::OwnerSuspended => "The owner of this API token is suspended.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_holds_every_reason_once_and_codes_are_distinct() {
        for (index, reason) in DenyReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?} is missing or out of order in ALL");
            let same = DenyReason::ALL.iter().filter(|other| other.code() == reason.code()).count();
            assert_eq!(same, 1, "{}", reason.code());
        }
        assert_eq!(DenyReason::OwnerSuspended as usize + 1, DenyReason::ALL.len());
    }
}
