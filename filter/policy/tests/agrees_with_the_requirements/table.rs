//! The table of cases: what is tried, and in which combinations.

use super::*;

pub(super) const PROTECTED: Path = at(Area::Protected, "/rest/api/2/issue/JRA-1");
pub(super) const LISTED_PATH: Path = Path { listed: true, ..at(Area::Protected, "/rest/internal/jobs") };
pub(super) const OPEN: Path = at(Area::Open, "/browse/JRA-1");
pub(super) const CONTROL_PLANE: Path = at(Area::ControlPlane, "/api/v1/tokens");
pub(super) const FACADE: Path = at(Area::Facade, "/rest/api-tokens/latest/");

/// Which facades are on.
const FACADES: &[Facade] = &[Facade::Pat, Facade::ApiTokens];

pub(super) const PATHS: &[Path] = &[
    PROTECTED,
    at(Area::Protected, "/REST/Api/2/issue/JRA-1"),
    at(Area::Protected, "/rest/api/2/search?token={token}&a=%2f;/../&b=\\"), // U2: query strings are not looked at
    LISTED_PATH,
    at(Area::Protected, "/rest/INTERNAL/jobs"), // an exception from a rule holds for what it says
    at(Area::Protected, "/rest/internally"),
    Path { encoded_slash: true, ..at(Area::Protected, "/rest/api/2/project/A%2fB") },
    Path { encoded_slash: true, listed: true, ..at(Area::Protected, "/rest/internal/A%2FB") },
    OPEN,
    at(Area::Open, "/"),
    at(Area::Open, "/restful/x"),
    at(Area::Open, "/browse/a%2fb;c"),
    at(Area::Open, "/browse/JRA-1?next=/rest/"),
    at(Area::Open, "/.well-known/tokengate/ready"),
    at(Area::Open, "/.well-known/tokengate/ready?verbose"),
    CONTROL_PLANE,
    at(Area::ControlPlane, "/tokengate/"),
    FACADE,
    at(Area::Protected, "/rest/api-tokens"),
    at(Area::Ambiguous, "/rest/API-tokens/latest/"),
    at(Area::Ambiguous, "/rest/x;y"),
    at(Area::Ambiguous, "/x/..;/rest/"),
    at(Area::Ambiguous, "/x/%2e%2e/rest/api"),
    at(Area::Ambiguous, "/%72est/api/2/issue/JRA-1"),
    at(Area::Ambiguous, "/rest%2fapi"),
    at(Area::Ambiguous, "/rest/a%5cb"),
    at(Area::Ambiguous, "/rest/a\\b"),
    at(Area::Ambiguous, "/rest/a%252fb"),
    at(Area::Ambiguous, "/api/v1/tokens;x"),
    at(Area::Ambiguous, "/api/v1/users/a%2fb"), // the setting is for the backend's paths
    below_jira(Area::Protected, "/jira/rest/api/2/issue/JRA-1"),
    below_jira(Area::Protected, "/jira/REST/api/2/issue/JRA-1"),
    Path { listed: true, ..below_jira(Area::Protected, "/jira/rest/internal/jobs") },
    below_jira(Area::Open, "/jira/browse/JRA-1"),
    below_jira(Area::Open, "/rest/api/2/issue/JRA-1"),
    below_jira(Area::Open, "/jira/api/v1/tokens"),
    below_jira(Area::ControlPlane, "/api/v1/tokens"),
    below_jira(Area::Facade, "/jira/rest/api-tokens/latest/"),
    below_jira(Area::Open, "/rest/api-tokens/latest/"),
    below_jira(Area::Ambiguous, "/jira/rest/x;y"),
];

pub(super) const CREDENTIALS: &[Credential] = &[
    Credential::Basic("alice", Shown::Token),
    Credential::Basic("aLICE@eXample.ORG", Shown::Token),
    Credential::Basic("émile", Shown::Token),
    Credential::Basic("EMILE@example.org", Shown::Token),
    Credential::Basic("ROOT", Shown::Token),
    Credential::Basic("sam", Shown::Token),
    Credential::Basic("ruth", Shown::Token),
    Credential::Basic("nobody", Shown::Token),
    Credential::Basic("ghost", Shown::Token),
    Credential::Basic("", Shown::Token),
    Credential::Bearer(Shown::Token),
    Credential::Other("Token", Shown::Token),
    Credential::Other("Token", Shown::Mistyped),
    Credential::Other("Token", Shown::Imported),
    Credential::Two(Shown::Password, Shown::Token, None),
    Credential::Two(Shown::Password, Shown::Password, None),
    Credential::Two(Shown::Token, Shown::Password, Some(", ")),
    Credential::Two(Shown::Password, Shown::Password, Some(", ")),
    Credential::Basic("alice", Shown::Imported),
    Credential::Basic("Émile", Shown::Imported),
    Credential::Bearer(Shown::Imported),
    Credential::Basic("alice", Shown::Unknown),
    Credential::Basic("éMILE", Shown::Unknown),
    Credential::Bearer(Shown::Unknown),
    Credential::Basic("alice", Shown::Mistyped),
    Credential::Bearer(Shown::Mistyped),
    Credential::Bearer(Shown::CutOff),
    Credential::Basic("alice", Shown::AfterSpace),
    Credential::Basic("alice", Shown::Quoted),
    Credential::Basic(A_TOKEN, Shown::Password),
    Credential::Basic(IMPORTED_TOKEN, Shown::Password),
    Credential::Basic(IMPORTED_TOKEN, Shown::Nothing),
    Credential::Basic(IMPORTED_TOKEN, Shown::Unknown),
    Credential::Basic("alice", Shown::Password),
    Credential::Basic("éMILE", Shown::Password),
    Credential::Basic("emile@example.org", Shown::Password),
    Credential::Basic("", Shown::Password),
    Credential::Basic("alice", Shown::Nothing),
    Credential::Basic("alice", Shown::TooLong),
    Credential::Bearer(Shown::Password),
    Credential::Bearer(Shown::TooLong),
    Credential::Other("Negotiate", Shown::Password),
    Credential::Unreadable("Basic ###"),
    Credential::Unreadable("Basic YWxpY2U="), // no colon in it
    Credential::None,
    Credential::Empty,
];

pub(super) const IP_RULES: &[&[&str]] = &[
    &[],
    &["10.1.2.3"],
    &["192.0.2.0/24"],
    &["192.0.2.0/24", "10.1.0.0/16"],
    &["10.1.2.3-10.1.2.9"],
    &["2001:db8::/32"],
    &["2001:db8::1-2001:db8::7"],
    &["::ffff:10.1.2.0/120"],
];

pub(super) const CLIENTS: &[Option<&str>] = &[
    Some("10.1.2.3"),
    Some("::ffff:10.1.2.3"),
    Some("10.1.2.9"),
    Some("10.1.2.10"),
    Some("2001:db8::7"),
    Some("2001:db8::8"),
    Some("192.0.2.1"),
    None,
];

pub(super) const CONTEXT_USERS: &[&[&str]] = &[
    &[],
    &["émile"],
    &["Emile@Example.ORG"],
    &[" alice "],
    &["root"],
    &["sam"],
    &["ruth"],
    &["nobody"],
    &["émile", "émile"],
    &["émile", "root"],
    &["émile,root"], // nobody's name; a comma is not forbidden in one
    &[""],
    &["  "],
];

/// Who may use a password all the same.
pub(super) const EXEMPT: &[&str] = &["ÉMILE", "root"];

/// Who may run requests on behalf of others.
pub(super) const CALLERS: &[&str] = &["ALICE"];

pub(super) const STORED: &[Stored] = &[
    Stored::Nothing,
    Stored::OneForAll,
    Stored::OneEach,
    Stored::OneEachAndOneForAll,
    Stored::AlicesOnly,
    Stored::SealedForAnother,
];

/// Something in which cases differ.
pub(super) struct Dimension {
    pub(super) values: usize,
    pub(super) set: fn(&mut Case, usize),
}

macro_rules! dimensions {
    ($(#[$doc:meta])* $name:ident: $($($field:ident).+ = $values:expr,)+) => {
        $(#[$doc])*
        const $name: &[Dimension] = &[
            $(Dimension { values: $values.len(), set: |case, nth| case.$($field).+ = $values[nth] },)+
        ];
    };
}

dimensions! {
    /// All in which cases differ.
    ALL:
    credential = CREDENTIALS,
    path = PATHS,
    method = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH", "get", "TRACE"],
    overridden_by = [
        None,
        Some("x-http-method-override"),
        Some("x-http-method"),
        Some("x-method-override"),
        Some("x-http-verb-override"),
        Some("x-method"),
        Some("?_method"),
        Some("?a=b&_METHOD"),
    ],
    context_user = CONTEXT_USERS,
    client = CLIENTS,
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&EMILE), Some(&GHOST), None],
    token.state = [TokenState::Active, TokenState::Deleted, TokenState::OwnerSuspended],
    token.valid_from = [None, Some(When::Before), Some(When::Now), Some(When::Later)],
    token.expires_at = [None, Some(When::Before), Some(When::Now), Some(When::Later)],
    token.scope = [Scope::Full, Scope::ReadOnly],
    token.addresses = IP_RULES,
    settings.token_authentication = [true, false],
    settings.token_schemes = [TokenSchemes::Both, TokenSchemes::Basic, TokenSchemes::Bearer],
    settings.unbound_tokens = [false, true],
    settings.backend_authenticates = [true, false],
    settings.passwords = [Passwords::Allowed, Passwords::Disabled],
    settings.password_exempt_users = [&[], EXEMPT],
    settings.password_exempt_paths = [&[], LISTED],
    settings.foreign_credentials = [ForeignCredentials::Pass, ForeignCredentials::Refuse],
    settings.facades = [FACADES, &[]],
    settings.ip_rules = IP_RULES,
    settings.ip_rules_apply_to = [IpRulesApplyTo::Credentialed, IpRulesApplyTo::All],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
    settings.on_behalf_of_callers = [CALLERS, &["nobody", "éMILE", "Root"]],
    settings.only_admins_create = [false, true],
    settings.users_may_use_tokens_created_for_them = [true, false],
    settings.max_snapshot_age_s = [Some(60), None],
    settings.encoded_slashes = [EncodedSlashes::Refuse, EncodedSlashes::Keep],
    settings.identity = [Identity::Headers, Identity::Assertion, Identity::Credential],
    settings.assertion_paths = [&["/"], LISTED, &["/rest/internal"]],
    stored = STORED,
    snapshot_age_ms = [Some(0), Some(60_000), Some(60_001), None],
    tokens_readable = [true, false],
    users_readable = [true, false],
}

dimensions! {
    /// Who presents what, and where.
    CREDENTIAL_AND_PATH:
    credential = CREDENTIALS,
    path = [PROTECTED, LISTED_PATH, OPEN, CONTROL_PLANE],
    token.owner = [Some(&ALICE), Some(&EMILE), None],
    settings.token_schemes = [TokenSchemes::Both, TokenSchemes::Basic, TokenSchemes::Bearer],
    settings.passwords = [Passwords::Allowed, Passwords::Disabled],
    settings.foreign_credentials = [ForeignCredentials::Pass, ForeignCredentials::Refuse],
    settings.backend_authenticates = [true, false],
}

dimensions! {
    /// Who is allowed what.
    PERMISSION:
    credential = [
        Credential::Bearer(Shown::Token),
        Credential::Basic("root", Shown::Imported),
        Credential::Basic("alice", Shown::Token),
    ],
    path = [PROTECTED, OPEN, CONTROL_PLANE],
    context_user = [&[] as &[&str], &["émile"], &["root"]],
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&EMILE), None],
    settings.unbound_tokens = [false, true],
    settings.only_admins_create = [false, true],
    settings.users_may_use_tokens_created_for_them = [true, false],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
}

dimensions! {
    /// In which state a token is, and what is asked of it.
    STATE_AND_LIMITS:
    path = [PROTECTED, CONTROL_PLANE, FACADE],
    settings.facades = [FACADES, &[]],
    method = ["GET", "POST"],
    overridden_by = [None, Some("x-http-method-override"), Some("?_method")],
    client = [Some("10.1.2.3"), Some("::ffff:10.1.2.10"), None],
    token.owner = [Some(&ALICE), Some(&ROOT)],
    token.state = [TokenState::Active, TokenState::Deleted, TokenState::OwnerSuspended],
    token.valid_from = [None, Some(When::Now), Some(When::Later)],
    token.expires_at = [None, Some(When::Now), Some(When::Later)],
    token.scope = [Scope::Full, Scope::ReadOnly],
    token.addresses = [&[] as &[&str], &["10.1.2.3"]],
    settings.token_authentication = [true, false],
}

dimensions! {
    /// As whom the request goes on, and with what.
    IDENTITY:
    credential = [Credential::Bearer(Shown::Token), Credential::Basic("root", Shown::Token)],
    path = [PROTECTED, CONTROL_PLANE],
    context_user = CONTEXT_USERS,
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&GHOST), None],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
    settings.identity = [Identity::Headers, Identity::Assertion, Identity::Credential],
    stored = STORED,
    users_readable = [true, false],
}

/// The first value of every dimension: alice reads an issue with her own token.
pub(super) fn alice_reads() -> Case {
    Case {
        credential: Credential::Basic("alice", Shown::Token),
        path: PROTECTED,
        method: "GET",
        overridden_by: None,
        context_user: &[],
        client: Some("10.1.2.3"),
        token: Token {
            owner: Some(&ALICE),
            state: TokenState::Active,
            valid_from: None,
            expires_at: None,
            scope: Scope::Full,
            addresses: &[],
        },
        settings: Rules {
            token_authentication: true,
            token_schemes: TokenSchemes::Both,
            unbound_tokens: false,
            backend_authenticates: true,
            passwords: Passwords::Allowed,
            password_exempt_users: &[],
            password_exempt_paths: &[],
            foreign_credentials: ForeignCredentials::Pass,
            facades: FACADES,
            ip_rules: &[],
            ip_rules_apply_to: IpRulesApplyTo::Credentialed,
            on_behalf_of: OnBehalfOf::Sysadmins,
            on_behalf_of_callers: CALLERS,
            only_admins_create: false,
            users_may_use_tokens_created_for_them: true,
            max_snapshot_age_s: Some(60),
            encoded_slashes: EncodedSlashes::Refuse,
            identity: Identity::Headers,
            assertion_paths: &["/"],
        },
        stored: Stored::Nothing,
        snapshot_age_ms: Some(0),
        tokens_readable: true,
        users_readable: true,
    }
}

/// Requests of different kinds, around which the others lie.
pub(super) fn bases() -> [Case; 7] {
    let alice = alice_reads();
    let with = |change: fn(&mut Case)| {
        let mut case = alice;
        change(&mut case);
        case
    };
    [
        alice,
        with(|case| {
            case.credential = Credential::Bearer(Shown::Token);
            case.token.owner = Some(&ROOT);
            case.context_user = &["émile"];
            case.settings.identity = Identity::Credential;
            case.stored = Stored::OneEach;
        }),
        with(|case| {
            case.credential = Credential::Basic("EMILE@example.org", Shown::Token);
            case.token.owner = None;
            case.settings.unbound_tokens = true;
            case.settings.identity = Identity::Assertion;
        }),
        with(|case| {
            case.credential = Credential::Basic("alice", Shown::Imported);
            case.token.scope = Scope::ReadOnly;
            case.token.addresses = &["10.1.2.3-10.1.2.9"];
            case.settings.on_behalf_of = OnBehalfOf::Listed;
            case.context_user = &["Emile@Example.ORG"];
        }),
        with(|case| {
            case.credential = Credential::Basic("éMILE", Shown::Password);
            case.settings.passwords = Passwords::Disabled;
            case.settings.password_exempt_users = EXEMPT;
        }),
        with(|case| {
            case.credential = Credential::Bearer(Shown::Token);
            case.token.owner = Some(&ROOT);
            case.path = CONTROL_PLANE;
            case.settings.passwords = Passwords::Disabled;
            case.settings.identity = Identity::Credential;
        }),
        with(|case| {
            case.credential = Credential::None;
            case.settings.ip_rules = &["10.1.2.3"];
            case.settings.backend_authenticates = false;
        }),
    ]
}

/// Each base with any two things changed.
pub(super) fn pairs_of_variations(judge: &mut impl FnMut(Case)) {
    for base in bases() {
        for (nth, one) in ALL.iter().enumerate() {
            for value in 0..one.values {
                let mut with_one = base;
                (one.set)(&mut with_one, value);
                judge(with_one);
                for other in &ALL[nth + 1..] {
                    for value in 0..other.values {
                        let mut with_both = with_one;
                        (other.set)(&mut with_both, value);
                        judge(with_both);
                    }
                }
            }
        }
    }
}

/// Every combination of what matters most.
pub(super) fn whole_products(judge: &mut impl FnMut(Case)) {
    let mut base = alice_reads();
    base.settings.unbound_tokens = true;
    base.settings.password_exempt_users = EXEMPT;
    base.settings.password_exempt_paths = LISTED;
    product(base, CREDENTIAL_AND_PATH, judge);
    product(base, PERMISSION, judge);
    product(base, STATE_AND_LIMITS, judge);
    product(base, IDENTITY, judge);
}

pub(super) fn product(base: Case, dimensions: &[Dimension], judge: &mut impl FnMut(Case)) {
    let Some((first, others)) = dimensions.split_first() else {
        return judge(base);
    };
    for value in 0..first.values {
        let mut case = base;
        (first.set)(&mut case, value);
        product(case, others, judge);
    }
}

/// Bases of which about a quarter of everything is changed at once; always the same ones.
pub(super) fn sample(judge: &mut impl FnMut(Case)) {
    const CASES: usize = 25_000;
    let mut state: u64 = 0x7064_6761_7465_2025;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    for _ in 0..CASES {
        let mut case = bases()[below(7)];
        for dimension in ALL {
            if below(4) == 0 {
                (dimension.set)(&mut case, below(dimension.values));
            }
        }
        judge(case);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What the real code says.
