//! Why a request is refused.

/// The table of reasons: each with its status, its code, and a sentence for the person at the other end, which says
/// what is wrong and what to do. A code never changes.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $status:literal $code:literal $sentence:literal,)+) => {
        /// Every reason for which Tokengate itself refuses a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DenyReason {
            $($(#[$doc])* $reason,)+
        }

        impl DenyReason {
            /// All of them, for tables and counters.
            pub const ALL: &[Self] = &[$(Self::$reason,)+];

            /// The HTTP status: 400 for what cannot be understood, 401 for who is not let in, 403 for what is not
            /// allowed, 413 for what is too large to be looked at, 429 for too much of it, 503 for what we cannot know.
            pub const fn status(self) -> u16 {
                match self { $(Self::$reason => $status,)+ }
            }

            /// The code by which programs tell reasons apart.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$reason => $code,)+ }
            }

            /// One sentence for the caller.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$reason => $sentence,)+ }
            }
        }
    };
}

reasons! {
    /// The path means different things to different readers (principle 5).
    AmbiguousPath = 400 "ambiguous_path"
        "The path could be read in more than one way; send it without ';', '#', backslashes and encoded separators.",
    /// A token of ours where tokens grant nothing (U5).
    PathNotProtected = 401 "path_not_protected"
        "API tokens are not accepted on this path, so the request was not forwarded; use the path of a REST resource.",
    /// No snapshot, or one older than `max_snapshot_age` (U14).
    NotReady = 503 "not_ready" "The proxy has no current list of tokens yet; try again shortly.",
    /// `TRACE`: a backend that echoes the request shows its own credential to the caller.
    TraceRefused = 403 "trace_refused" "The method TRACE is not allowed: it sends credentials back.",
    /// The client's address is not among those that the site, or the token, allows (S2, L9).
    IpNotAllowed = 403 "ip_not_allowed" "Requests from this address are not allowed.",
    /// More than one credential, or one that cannot be read (U15).
    BadCredentials = 400 "bad_credentials"
        "Send one Authorization header: Basic with the base64 of USER:TOKEN, or Bearer with the token.",
    /// `contextUser` came more than once, or holds no name (U7).
    BadContextUser = 400 "bad_context_user" "Send one contextUser header, with the name of one user.",
    /// A token of ours under a scheme that it does not accept (U3, U4).
    SchemeNotAllowed = 401 "scheme_not_allowed" "This API token is not accepted under this authentication scheme.",
    /// It begins like a token of ours, but its checksum is wrong (D2).
    MistypedToken = 401 "mistyped_token"
        "This looks like an API token with a typing error, or a part of one; copy it again.",
    /// The same in Basic, where passwords are disabled (U10).
    MistypedTokenNorPassword = 403 "mistyped_token"
        "This looks like an API token with a typing error, or a part of one, and passwords are not accepted here.",
    /// The part of the snapshot that is needed cannot be read (principle 3).
    SnapshotUnreadable = 503 "snapshot_unreadable" "The proxy cannot read its list of tokens; try again shortly.",
    /// A token of our format that nobody has (U10).
    UnknownToken = 401 "unknown_token" "There is no such API token.",
    /// The same, where passwords are disabled (U10).
    UnknownTokenNorPassword = 403 "unknown_token" "There is no such API token, and passwords are not accepted here.",
    /// Neither a token, nor a backend that authenticates by itself (U12).
    TokenRequired = 401 "token_required" "An API token is required.",
    /// A password where passwords are disabled (S3, U11).
    PasswordDisabled = 403 "password_disabled" "Passwords are not accepted here; use an API token in place of yours.",
    /// A foreign bearer token or scheme where these are refused (U12).
    ForeignCredentialsRefused = 401 "foreign_credentials_refused"
        "Credentials of this kind are not accepted here; use an API token.",
    /// Not the user whose token this is (U1, U4).
    WrongUser = 401 "wrong_user" "This API token belongs to another user.",
    /// Nobody is called so (U4).
    UnknownUser = 401 "unknown_user" "There is no user of this name for whom the API token could work.",
    /// Revoked (U8).
    TokenDeleted = 401 "token_deleted" "This API token has been deleted.",
    /// Its owner is suspended (U8).
    OwnerSuspended = 401 "owner_suspended" "The owner of this API token is suspended.",
    /// The user named beside an unbound token is suspended (U4).
    UserSuspended = 401 "user_suspended" "This user is suspended.",
    /// Its time has not come (U8).
    TokenNotYetValid = 401 "token_not_yet_valid" "This API token is not valid yet.",
    /// Its time is over (U8).
    TokenExpired = 401 "token_expired" "This API token has expired; create a new one.",
    /// The master switch is off (U9).
    TokensOff = 403 "token_authentication_off" "The administrator has switched API tokens off.",
    /// Unbound tokens are not allowed (U4).
    UnboundTokensOff = 403 "unbound_tokens_off" "API tokens that belong to no user are not accepted here.",
    /// Only sysadmins may use tokens (S5).
    TokensForAdminsOnly = 403 "tokens_for_admins_only" "API tokens are for administrators only.",
    /// A token that is restricted, or bound to nobody, at the control plane (M5).
    CannotManage = 403 "cannot_manage"
        "An API token that is restricted, or belongs to no user, cannot manage tokens or users.",
    /// A restricted token with a header or parameter by which some backends take another method (U15).
    MethodOverride = 400 "method_override"
        "A restricted API token cannot be used with a header or parameter that overrides the method; send the method itself.",
    /// A read-only token and a method that may write (L9).
    ReadOnly = 403 "read_only" "This API token may only read: GET, HEAD and OPTIONS.",
    /// The caller may not run requests on behalf of others, or not with this credential (U7).
    OnBehalfOfRefused = 403 "on_behalf_of_refused" "You may not run this request on behalf of another user.",
    /// Nobody is called so (U7).
    ContextUserUnknown = 403 "context_user_unknown" "There is no user of the name in contextUser.",
    /// That user is suspended (U7).
    ContextUserSuspended = 403 "context_user_suspended" "The user in contextUser is suspended.",
    /// That user is a sysadmin, and the caller is none (U7).
    ContextUserIsSysadmin = 403 "context_user_is_sysadmin"
        "The user in contextUser is a sysadmin, on whose behalf only sysadmins may act.",
    /// The backend wants a credential of its own, and none is stored for this user (U6).
    NoBackendCredential = 403 "no_backend_credential"
        "The administrator has stored no credential with which the backend would let you in.",
    /// No restriction of the token allows this request (L1).
    Restricted = 403 "restricted" "This API token is not meant for this request.",
    /// The path, or the query that a restriction looks at, is longer than 2 kB (L11).
    TooLongToJudge = 400 "too_long_to_judge"
        "A restriction of this API token looks at the path or the query, and that is longer than 2,048 bytes.",
    /// A restriction looks at the query, and that cannot be read (L4).
    BadQuery = 400 "bad_query" "The query cannot be read: send it as UTF-8, percent-encoded, without ';' and control characters.",
    /// A restriction looks at the body, and that, or the field in it, cannot be read (L5).
    BodyUnreadable = 403 "body_unreadable"
        "A restriction of this API token looks at the body: send it as application/json, uncompressed, each field once.",
    /// A restriction looks at the body, and that is beyond `body_limit` (L5).
    BodyTooLarge = 413 "body_too_large" "A restriction of this API token looks at the body, and that is too large.",
    /// Judging by the restrictions of this token takes more of a worker's time than one token may have (L11). It is no
    /// rule of [`crate::decide()`]: the filter counts for itself.
    TooManyRequests = 429 "too_many_requests"
        "The restrictions of this API token take too much of the proxy's time; send fewer requests, or smaller bodies.",
    /// The proxy failed at something the filter asked of it (principle 3).
    ProxyFailure = 503 "proxy_failure" "The proxy failed while judging this request; try again shortly.",
}

impl DenyReason {
    /// The status by which gRPC tells it: 3 `INVALID_ARGUMENT`, 16 `UNAUTHENTICATED`, 7 `PERMISSION_DENIED`, 8
    /// `RESOURCE_EXHAUSTED`, 14 `UNAVAILABLE`, 2 `UNKNOWN`.
    pub const fn grpc_status(self) -> u8 {
        match self.status() {
            400 => 3,
            401 => 16,
            403 => 7,
            413 | 429 => 8,
            503 => 14,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_a_status_mean_one_reason() {
        for reason in DenyReason::ALL {
            let like = |other: &&DenyReason| (other.code(), other.status()) == (reason.code(), reason.status());
            assert_eq!(DenyReason::ALL.iter().filter(like).count(), 1, "{reason:?}");
            assert!(matches!(reason.status(), 400 | 401 | 403 | 413 | 429 | 503), "{reason:?}");
            assert_ne!(reason.grpc_status(), 2, "{reason:?}");
        }
    }
}
