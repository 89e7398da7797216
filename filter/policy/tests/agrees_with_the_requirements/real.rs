//! The real judge: a case as a proxy would see it, run through the crate.

use super::*;

/// Runs a case through the crate, and looks at what it asked its sources for.
pub(super) fn by_the_policy(case: &Case, world: &World) -> Result<Goes, Refusal> {
    let site = &world.sites[case.path.context];
    let request = Request::read(&world.headers(case), site);
    let settings = world.settings(case);
    let shelf = Shelf { case, world, addresses_asked: Cell::default(), users_asked: RefCell::default() };
    let known = match case.snapshot_age_ms {
        Some(_) => Known::gather(&request, &settings, &world.keys[&has_one_for_all(case.stored)], &shelf),
        None => Known::default(),
    };

    let (address, users) = may_ask(case);
    assert!(shelf.addresses_asked.get() <= u32::from(address), "the address was asked for in vain: {case:?}");
    let asked = shelf.users_asked.into_inner();
    assert!(asked.iter().all(|name| users.contains(*name)), "asked for {asked:?}, not one of {users:?}: {case:?}");

    let snapshot = match case.snapshot_age_ms {
        Some(age_ms) => Snapshot::Ready { settings: &settings, age_ms },
        None => Snapshot::Missing,
    };
    let now = Timestamp::from_millis(NOW_MS);
    let facts = Facts { request: &request, snapshot, known: &known, body: Body::NotYet, now };
    let verdict = decide(&facts);
    assert_explained(&facts, &verdict);
    if let Some(to) = match &verdict {
        Verdict::Pass(to) => Some(*to),
        Verdict::Admit(grant) => Some(grant.to()),
        Verdict::NeedBody | Verdict::Deny(_) => None,
    } {
        assert_eq!(to == For::ControlPlane, manages(case), "{case:?}");
    }
    match &verdict {
        Verdict::Pass(_) => Ok(Goes::Untouched),
        Verdict::NeedBody => panic!("no case has restrictions: {case:?}"),
        Verdict::Deny(reason) => Err((reason.status(), reason.code())),
        Verdict::Admit(grant) => {
            assert_eq!(grant.token().id, "t1", "{case:?}");
            let assertion = grant.assertion().map(|_| "signed");
            let edits = edits(&verdict, &request, site, assertion).unwrap();
            Ok(Goes::As {
                user: grant.user().name.clone(),
                actor: grant.actor().map(Into::into),
                assertion: grant.assertion(),
                credential: sent_in_place_of_the_token(&edits),
            })
        }
    }
}

/// An explanation comes to the same verdict, and its last step is the one that decided.
fn assert_explained(facts: &Facts<'_>, verdict: &Verdict) {
    let Explanation { verdict: explained, steps, lines } = explain(facts, |time| time.as_millis().to_string());
    assert_eq!(explained, *verdict);
    let (last, before) = steps.split_last().unwrap();
    assert!(before.iter().all(|step| step.outcome != StepOutcome::Refused), "{steps:?}");
    assert!(steps.iter().is_sorted_by_key(|step| step.rule) && steps[0].rule == Rule::PathReading, "{steps:?}");
    match verdict {
        Verdict::Deny(_) => assert_eq!(last.outcome, StepOutcome::Refused, "{steps:?}"),
        Verdict::Admit(_) => assert_eq!((last.rule, last.outcome), (Rule::Admitted, StepOutcome::Passed), "{steps:?}"),
        Verdict::Pass(_) => {
            assert!(matches!(last.rule, Rule::PassedOn | Rule::PathProtected), "{steps:?}");
            assert_eq!(last.outcome, StepOutcome::Passed, "{steps:?}");
        }
        Verdict::NeedBody => panic!("no case has restrictions"),
    }
    // The table says with which codes a rule refuses.
    if let Verdict::Deny(reason) = verdict
        && *reason != DenyReason::SnapshotUnreadable
    {
        let table = include_str!("../../src/decide.rs").lines().filter(|line| line.starts_with("//! | "));
        let row = table.skip(1).nth(Rule::ALL.iter().position(|rule| *rule == last.rule).unwrap()).unwrap();
        assert!(row.contains(&format!("`{}`", reason.code())), "{reason:?} by {row}");
    }
    assert!(lines.is_empty());
}

/// Edits are made in their order, so the last one counts; without one the token would go on (U6).
pub(super) fn sent_in_place_of_the_token(edits: &[HeaderEdit]) -> Option<String> {
    let of_authorization = edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set { name, value } => {
            (name == "authorization").then(|| String::from_utf8(value.expose().to_vec()).ok())
        }
        HeaderEdit::Blank { name } => (name == b"authorization").then_some(None),
    });
    of_authorization.unwrap()
}

pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// What is built once.
pub(super) struct World {
    /// By whether there is a shared backend credential.
    pub(super) keys: HashMap<bool, FilterKeys>,
    /// By the context path.
    pub(super) sites: HashMap<&'static str, Site>,
    /// Every known user under name and e-mail address; every other name that occurs, under itself.
    pub(super) people: HashMap<[u8; 32], (String, Option<&'static Person>)>,
    pub(super) token: String,
    pub(super) unknown_token: String,
    /// The hashes of the case's token, as ours and as imported.
    pub(super) token_hashes: [KeyedHash; 2],
    /// By name: the user's own backend credential, and one that was sealed for somebody else.
    pub(super) sealed: HashMap<&'static str, [Vec<u8>; 2]>,
    pub(super) ip_rules: HashMap<&'static str, IpRule>,
}

pub(super) const IMPORTED_TOKEN: &str = "5f2b8c91-of-another-product";
pub(super) const PASSWORD: &str = "wonderland";

impl World {
    pub(super) fn new() -> Self {
        let keys = |shared_credential| FilterKeys {
            token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
            user_hash: HashKey::new([2; 32]),
            credential: SealKey::new([3; 32]),
            shared_credential,
            backend_assertion: AssertionKey::new([4; 32]),
            control_plane_assertion: AssertionKey::new([5; 32]),
        };
        let keys = HashMap::from([(false, keys(None)), (true, keys(BackendCredential::new(FOR_ALL.as_bytes())))]);
        let site = |context: &str| {
            let control_plane_prefixes = ["/api/v1/", "/tokengate/"].map(String::from).to_vec();
            Site { context_path: context.into(), control_plane_prefixes, ..Site::default() }
        };
        let mint = |byte| String::from_utf8(token::mint([byte; 32]).expose().to_vec()).unwrap();
        let (token, unknown_token) = (mint(6), mint(7));
        let key = &keys[&true];
        let hash = |token: &str| key.token_hash.hash(&Secret::new(token.into()));
        let names = ["", "nobody", "ghost", "alice", "émile,root", "Émile", "root", "sam", "ruth"].into_iter();
        let names = names.chain(PEOPLE.iter().map(|person| person.email)).map(str::to_lowercase);
        let seal = |person: &Person, for_whom: &str| {
            let credential = BackendCredential::new(own_credential(person).as_bytes()).unwrap();
            credential.seal(for_whom, &key.credential, [8; 24]).unwrap()
        };
        let sealed =
            |person: &'static Person| (person.name, [person.name, "somebody else"].map(|name| seal(person, name)));
        Self {
            sites: HashMap::from(["", "/jira"].map(|context| (context, site(context)))),
            people: names.map(|name| (*key.user_hash(&name).as_bytes(), (name.clone(), who_is(&name)))).collect(),
            token_hashes: [hash(&token), hash(IMPORTED_TOKEN)],
            token,
            unknown_token,
            sealed: PEOPLE.into_iter().map(sealed).collect(),
            ip_rules: IP_RULES.iter().flat_map(|rules| *rules).map(|rule| (*rule, rule.parse().unwrap())).collect(),
            keys,
        }
    }

    /// The headers as the proxy gives them.
    fn headers(&self, case: &Case) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut target = case.path.target.replace(A_TOKEN, &self.token);
        let (header, parameter) = match case.overridden_by.map(|name| (name, name.strip_prefix('?'))) {
            Some((_, Some(parameter))) => (None, Some(parameter)),
            Some((header, None)) => (Some(header), None),
            None => (None, None),
        };
        if let Some(parameter) = parameter {
            target = format!("{target}{}{parameter}=DELETE", if target.contains('?') { '&' } else { '?' });
        }
        let mut headers = vec![(":method", case.method.into()), (":path", target), (":authority", "host".into())];
        headers.extend(self.authorization(case.credential).into_iter().map(|value| ("authorization", value)));
        headers.extend(header.map(|name| (name, "DELETE".into())));
        headers.extend(case.context_user.iter().map(|name| ("contextuser", (*name).into())));
        headers.into_iter().map(|(name, value)| (name.into(), value.into_bytes())).collect()
    }

    /// All values of `Authorization`.
    fn authorization(&self, credential: Credential) -> Vec<String> {
        let basic = |user: &str, secret| {
            let pair = format!("{}:{}", user.replace(A_TOKEN, &self.token), self.text(secret));
            format!("Basic {}", STANDARD.encode(pair))
        };
        let bearer = |secret| format!("bEARER {}", self.text(secret)); // schemes know no case (RFC 9110, 11.1)
        match credential {
            Credential::None => vec![],
            Credential::Empty => vec![String::new()],
            Credential::Basic(user, secret) => vec![basic(user, secret)],
            Credential::Bearer(secret) => vec![bearer(secret)],
            Credential::Other(scheme, secret) => vec![format!("{scheme} {}", self.text(secret))],
            Credential::Unreadable(value) => vec![value.into()],
            Credential::Two(first, second, None) => vec![basic("alice", first), bearer(second)],
            Credential::Two(first, second, Some(between)) => {
                vec![[basic("alice", first), bearer(second)].join(between)]
            }
        }
    }

    fn text(&self, secret: Shown) -> String {
        match secret {
            Shown::Token => self.token.clone(),
            Shown::Imported => IMPORTED_TOKEN.into(),
            Shown::Unknown => self.unknown_token.clone(),
            Shown::Mistyped => {
                let (start, last) = self.token.split_at(self.token.len() - 1);
                format!("{start}{}", if last == "x" { "y" } else { "x" })
            }
            Shown::CutOff => self.token[..20].into(),
            Shown::AfterSpace => format!(" {}", self.token),
            Shown::Quoted => format!("\"{}\"", self.token),
            Shown::Password => PASSWORD.into(),
            Shown::Nothing => String::new(),
            Shown::TooLong => PASSWORD.repeat(60),
        }
    }

    fn settings(&self, case: &Case) -> Settings {
        let rules = case.settings;
        let names = |names: &[&str]| names.iter().map(|name| UserName::try_from(*name).unwrap()).collect();
        let paths = |paths: &[&str]| paths.iter().map(|path| PathPrefix::try_from(*path).unwrap()).collect();
        Settings {
            token_authentication: rules.token_authentication,
            token_schemes: rules.token_schemes,
            unbound_tokens: rules.unbound_tokens,
            backend_authenticates: rules.backend_authenticates,
            passwords: rules.passwords,
            password_exempt_users: names(rules.password_exempt_users),
            password_exempt_paths: paths(rules.password_exempt_paths),
            foreign_credentials: rules.foreign_credentials,
            facades: rules.facades.to_vec(),
            ip_rules: self.rules(rules.ip_rules),
            ip_rules_apply_to: rules.ip_rules_apply_to,
            on_behalf_of: rules.on_behalf_of,
            on_behalf_of_callers: names(rules.on_behalf_of_callers),
            only_admins_create: rules.only_admins_create,
            users_may_use_tokens_created_for_them: rules.users_may_use_tokens_created_for_them,
            max_snapshot_age: rules.max_snapshot_age_s.map(Age::from_seconds),
            encoded_slashes: rules.encoded_slashes,
            identity: rules.identity,
            assertion_paths: paths(rules.assertion_paths),
            ..Settings::default()
        }
    }

    fn rules(&self, texts: &[&str]) -> Vec<IpRule> {
        texts.iter().map(|text| self.ip_rules[text]).collect()
    }

    fn token_record(&self, token: &Token) -> TokenRecord {
        let instant = |when| {
            Timestamp::from_millis(match when {
                When::Before => NOW_MS - 1,
                When::Now => NOW_MS,
                When::Later => NOW_MS + 1,
            })
        };
        TokenRecord {
            id: "t1".into(),
            binding: match token.owner {
                Some(Person { name, email, sysadmin, suspended: _ }) => {
                    Binding::User(Owner { name: (*name).into(), email: Some((*email).into()), sysadmin: *sysadmin })
                }
                None => Binding::Unbound,
            },
            created_at: Timestamp::from_millis(NOW_MS - 1_000_000),
            valid_from: token.valid_from.map(instant),
            expires_at: token.expires_at.map(instant),
            state: token.state,
            scope: token.scope,
            addresses: match token.addresses {
                [] => Addresses::Any,
                rules => Addresses::Only(self.rules(rules)),
            },
            restrictions: None,
        }
    }

    fn user_record(&self, person: &Person, stored: Stored) -> UserRecord {
        let [own, of_somebody_else] = &self.sealed[person.name];
        let credential = match stored {
            Stored::Nothing | Stored::OneForAll => None,
            Stored::AlicesOnly => (person.name == ALICE.name).then_some(own),
            Stored::OneEach | Stored::OneEachAndOneForAll => Some(own),
            Stored::SealedForAnother => Some(of_somebody_else),
        };
        let Person { name, email, sysadmin, suspended } = *person;
        UserRecord {
            name: name.into(),
            email: Some(email.into()),
            sysadmin,
            suspended,
            credential: credential.cloned(),
        }
    }
}

/// The sources of one case; they remember what they were asked for.
pub(super) struct Shelf<'a> {
    pub(super) case: &'a Case,
    pub(super) world: &'a World,
    pub(super) addresses_asked: Cell<u32>,
    pub(super) users_asked: RefCell<Vec<&'a str>>,
}

impl Sources for Shelf<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        if !self.case.tokens_readable {
            Found::Unreadable
        } else if self.world.token_hashes.contains(hash) {
            Found::Record(self.world.token_record(&self.case.token))
        } else {
            Found::Nothing
        }
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        let (name, person) = &self.world.people[hash.as_bytes()];
        self.users_asked.borrow_mut().push(name);
        match person {
            _ if !self.case.users_readable => Found::Unreadable,
            Some(person) => Found::Record(self.world.user_record(person, self.case.stored)),
            None => Found::Nothing,
        }
    }

    fn restrictions(&self, _hash: &KeyedHash) -> Found<Rc<Set>> {
        panic!("no case has restrictions")
    }

    fn address(&self) -> Option<IpAddr> {
        self.addresses_asked.set(self.addresses_asked.get() + 1);
        self.case.client.map(|client| client.parse().unwrap())
    }
}
