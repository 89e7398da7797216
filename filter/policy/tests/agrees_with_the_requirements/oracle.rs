//! The second judge: slow and plain, from the words of the requirements.

use super::*;

/// The table at the top of `decide.rs`, from its first row on.
pub(super) fn by_the_requirements(case: &Case) -> Result<Goes, Refusal> {
    let Case { path, settings, .. } = case;

    // Principle 5: what different readers read differently is refused before anything else is looked at.
    refuse_if(path.area == Area::Ambiguous, 400, "ambiguous_path")?;

    // U5: elsewhere than on protected paths a token grants nothing, and is not forwarded.
    if path.area == Area::Open {
        refuse_if(shows_a_token_of_ours(case.credential), 401, "path_not_protected")?;
        return Ok(Goes::Untouched);
    }

    // U14: "no snapshot, or older than `max_snapshot_age`".
    let is_too_old = |age_ms: u64| settings.max_snapshot_age_s.is_some_and(|max| age_ms > max * 1000);
    refuse_if(case.snapshot_age_ms.is_none_or(is_too_old), 503, "not_ready")?;

    // Principle 5: "a setting can keep `%2f` in segments".
    refuse_if(path.encoded_slash && settings.encoded_slashes == EncodedSlashes::Refuse, 400, "ambiguous_path")?;

    // U6, "never shown again": a backend that answers TRACE sends back what it got.
    refuse_if(case.method.eq_ignore_ascii_case("trace"), 403, "trace_refused")?;

    // S2: for requests with a credential; for those without by setting; "none: everyone".
    let not_from_here = !settings.ip_rules.is_empty() && !any_rule_matches(settings.ip_rules, case.client);
    refuse_if(ip_rules_concern(case) && not_from_here, 403, "ip_not_allowed")?;

    // U15, and the same for `contextUser` (U7). Open: a token where a user's name should be could be called mistyped.
    let is_bad = match case.credential {
        Credential::Unreadable(_) | Credential::Two(..) => true,
        Credential::Basic(user, _) => user == A_TOKEN,
        _ => false,
    };
    refuse_if(is_bad, 400, "bad_credentials")?;
    let bad_context_user = match case.context_user {
        [] => false,
        [name] => name.trim().is_empty(),
        _ => true,
    };
    refuse_if(bad_context_user, 400, "bad_context_user")?;

    // U3: a token of ours under another scheme than those that tokens accept.
    let (user, secret, accepted) = match case.credential {
        Credential::Basic(user, secret) => (Some(user), secret, settings.token_schemes != TokenSchemes::Bearer),
        Credential::Bearer(secret) => (None, secret, settings.token_schemes != TokenSchemes::Basic),
        Credential::Other(_, secret) => {
            refuse_if(looks_like_ours(secret), 401, "scheme_not_allowed")?;
            return without_token(case);
        }
        _ => return without_token(case),
    };
    // U10: "Where passwords are disabled for the request (S3) it is 403 as A says, whole or mistyped"; a known token keeps
    // its own code, and whether it is known must be looked up.
    let no_password = user.is_some_and(|user| !password_may_pass(case, user));
    let is_of_our_format = matches!(secret, Shown::Token | Shown::Unknown);
    refuse_if(is_of_our_format && !accepted && !no_password, 401, "scheme_not_allowed")?;

    // D2, U10: what begins like a token and is none, as anyone can tell without asking. Open: whether "a token of ours"
    // in U3 means these, too.
    let is_none = if no_password { 403 } else { 401 };
    refuse_if(matches!(secret, Shown::Mistyped | Shown::CutOff), is_none, "mistyped_token")?;

    // Principle 3, U11: every other secret is looked up, for it may be an imported token, if any token is so long.
    // Open: what holds a token of ours without beginning like one could be refused at once.
    let may_be_one = !matches!(secret, Shown::Nothing | Shown::TooLong);
    refuse_if(may_be_one && !case.tokens_readable, 503, "snapshot_unreadable")?;

    match secret {
        Shown::Unknown => Err((is_none, "unknown_token")),
        Shown::Token | Shown::Imported => {
            refuse_if(!accepted, 401, "scheme_not_allowed")?;
            with_token(case, user)
        }
        // Nobody's, but whoever reads it finds a token of ours in it.
        Shown::AfterSpace | Shown::Quoted => Err((is_none, "mistyped_token")),
        _ => {
            // A3, "never a secret": a token where the name belongs; an imported one only a look can tell.
            let name = user.filter(|name| !name.is_empty());
            refuse_if(name.is_some() && !case.tokens_readable, 503, "snapshot_unreadable")?;
            refuse_if(name == Some(IMPORTED_TOKEN), 400, "bad_credentials")?;
            without_token(case)
        }
    }
}

/// The part of the table that begins with "No token".
pub(super) fn without_token(case: &Case) -> Result<Goes, Refusal> {
    let Case { settings, .. } = case;
    // U7: "not with passwords (403)", and "refused, not ignored". Open: whether the control plane's paths are excepted.
    refuse_if(!case.context_user.is_empty(), 403, "on_behalf_of_refused")?;
    // "On the control plane's own paths, which authenticate by themselves, ... what is no token passes."
    if manages(case) {
        return Ok(Goes::Untouched);
    }
    // U12: "everything without an admitted token is 401".
    refuse_if(!settings.backend_authenticates, 401, "token_required")?;
    let refuses_foreign = settings.foreign_credentials == ForeignCredentials::Refuse;
    match case.credential {
        // S3, U11.
        Credential::Basic(user, _) => refuse_if(!password_may_pass(case, user), 403, "password_disabled")?,
        // U12: "a foreign Bearer, another scheme".
        Credential::Bearer(_) | Credential::Other(..) => {
            refuse_if(refuses_foreign, 401, "foreign_credentials_refused")?
        }
        _ => {}
    }
    Ok(Goes::Untouched)
}

/// The part of the table that begins with "A token".
pub(super) fn with_token(case: &Case, user: Option<&str>) -> Result<Goes, Refusal> {
    let Case { settings, token, .. } = case;
    let for_the_control_plane = manages(case);

    // U1, U4: whose is it, and who is calling?
    let caller = match token.owner {
        Some(owner) => {
            refuse_if(user.is_some_and(|user| !is_called(owner, user)), 401, "wrong_user")?;
            owner
        }
        None => {
            let user = user.ok_or((401, "scheme_not_allowed"))?;
            refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
            who_is(user).ok_or((401, "unknown_user"))?
        }
    };

    // U8: "a code that says which".
    refuse_if(token.state == TokenState::Deleted, 401, "token_deleted")?;
    refuse_if(token.state == TokenState::OwnerSuspended, 401, "owner_suspended")?;
    refuse_if(token.owner.is_none() && caller.suspended, 401, "user_suspended")?;
    refuse_if(token.valid_from == Some(When::Later), 401, "token_not_yet_valid")?;
    // U8: "at the very instant of expiry a token is expired".
    refuse_if(matches!(token.expires_at, Some(When::Before | When::Now)), 401, "token_expired")?;

    // U9: "403 on the backend's paths (not on the control plane's own …)".
    refuse_if(!settings.token_authentication && !for_the_control_plane, 403, "token_authentication_off")?;
    // U4: "off until an administrator allows it".
    refuse_if(token.owner.is_none() && !settings.unbound_tokens, 403, "unbound_tokens_off")?;
    // S5: "tokens of non-sysadmins, old ones too".
    let for_admins_only = settings.only_admins_create && !settings.users_may_use_tokens_created_for_them;
    refuse_if(for_admins_only && !caller.sysadmin, 403, "tokens_for_admins_only")?;
    // M5: "a token that is restricted in any way cannot manage tokens".
    let is_restricted = token.scope == Scope::ReadOnly || !token.addresses.is_empty();
    refuse_if(for_the_control_plane && (is_restricted || token.owner.is_none()), 403, "cannot_manage")?;
    // U15: "a restricted token together with `X-HTTP-Method-Override` (or its siblings)".
    refuse_if(is_restricted && case.overridden_by.is_some(), 400, "method_override")?;
    // L9.
    let not_from_here = !token.addresses.is_empty() && !any_rule_matches(token.addresses, case.client);
    refuse_if(not_from_here, 403, "ip_not_allowed")?;
    let reads = matches!(case.method, "GET" | "HEAD" | "OPTIONS");
    refuse_if(token.scope == Scope::ReadOnly && !reads, 403, "read_only")?;

    // U7: "checked as the caller first", which is done; now as the other.
    let runs_as = match case.context_user {
        [name] => on_behalf_of(name, caller, case)?,
        _ => caller,
    };

    // U6: the backend wants a credential of its own; the control plane does not.
    let mut credential = None;
    if settings.identity == Identity::Credential && !for_the_control_plane {
        refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
        // Principle 3: what cannot be opened is no reason to take another, or to say that there is none.
        let cannot_be_opened = case.stored == Stored::SealedForAnother && who_is(runs_as.name).is_some();
        refuse_if(cannot_be_opened, 503, "snapshot_unreadable")?;
        credential = credential_of(runs_as, case.stored);
        refuse_if(credential.is_none(), 403, "no_backend_credential")?;
    }

    Ok(Goes::As {
        user: runs_as.name.into(),
        actor: (!case.context_user.is_empty()).then(|| caller.name.into()),
        // U6; and the control plane always asks for one of its own (design.md, "who is calling the REST API").
        assertion: match settings.identity {
            _ if for_the_control_plane => Some(For::ControlPlane),
            Identity::Assertion if holds_path(settings.assertion_paths, case.path) => Some(For::Backend),
            _ => None,
        },
        credential,
    })
}

/// U7.
pub(super) fn on_behalf_of(name: &str, caller: &Person, case: &Case) -> Result<&'static Person, Refusal> {
    let Case { settings, token, .. } = case;
    let may = match settings.on_behalf_of {
        OnBehalfOf::Off => false,
        OnBehalfOf::Sysadmins => caller.sysadmin,
        OnBehalfOf::Listed => settings.on_behalf_of_callers.iter().any(|listed| same(listed, caller.name)),
    };
    // Open: at the control plane only sysadmins, since what is made in another's name outlasts the permission.
    let manages = manages(case);
    let may = may && (caller.sysadmin || !manages);
    refuse_if(!may || token.owner.is_none(), 403, "on_behalf_of_refused")?;
    refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
    let other = who_is(name.trim()).ok_or((403, "context_user_unknown"))?;
    refuse_if(other.suspended, 403, "context_user_suspended")?;
    refuse_if(other.sysadmin && !caller.sysadmin, 403, "context_user_is_sysadmin")?;
    Ok(other)
}

/// The control plane's own paths, and those of a facade that the setting `facades` names ("so that a real Jira may serve
/// that path itself").
pub(super) fn manages(case: &Case) -> bool {
    let facade_is_on = case.settings.facades.contains(&Facade::ApiTokens);
    case.path.area == Area::ControlPlane || case.path.area == Area::Facade && facade_is_on
}

/// S2: "token and password requests", which are all that come with a credential; others by setting.
pub(super) fn ip_rules_concern(case: &Case) -> bool {
    !matches!(case.credential, Credential::None | Credential::Empty)
        || case.settings.ip_rules_apply_to == IpRulesApplyTo::All
}

/// S3: "users and paths can be exempted", users by name. On the control plane's paths nothing is disabled: what is no
/// token passes there.
pub(super) fn password_may_pass(case: &Case, user: &str) -> bool {
    let Rules { passwords, password_exempt_users, password_exempt_paths, .. } = case.settings;
    manages(case)
        || passwords == Passwords::Allowed
        || password_exempt_users.iter().any(|exempt| same(exempt, user))
        || holds_path(password_exempt_paths, case.path)
}

/// U5: "a credential recognisable as ours", whole or broken. An imported token is not recognisable.
pub(super) fn shows_a_token_of_ours(credential: Credential) -> bool {
    match credential {
        Credential::None | Credential::Empty | Credential::Unreadable(_) => false,
        Credential::Basic(user, secret) => user == A_TOKEN || looks_like_ours(secret),
        Credential::Bearer(secret) | Credential::Other(_, secret) => looks_like_ours(secret),
        Credential::Two(first, second, _) => looks_like_ours(first) || looks_like_ours(second),
    }
}

pub(super) fn looks_like_ours(secret: Shown) -> bool {
    match secret {
        Shown::Token | Shown::Unknown | Shown::Mistyped | Shown::CutOff | Shown::AfterSpace | Shown::Quoted => true,
        Shown::Imported | Shown::Password | Shown::Nothing | Shown::TooLong => false,
    }
}

/// Whether the path is one of those in the list, of which a test has `/` for all, or [`LISTED`], or none.
pub(super) fn holds_path(list: &[&str], path: Path) -> bool {
    list.contains(&"/") || (!list.is_empty() && path.listed)
}

/// U1: "the user name or the e-mail address, compared without regard to case".
pub(super) fn is_called(person: &Person, written: &str) -> bool {
    same(person.name, written) || same(person.email, written)
}

pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The known user of that name or e-mail address.
pub(super) fn who_is(written: &str) -> Option<&'static Person> {
    PEOPLE.into_iter().find(|person| is_called(person, written))
}

/// U6: "one for all or one per user".
pub(super) fn credential_of(person: &Person, stored: Stored) -> Option<String> {
    who_is(person.name)?; // Open: whether somebody without a record, a user no more (M8), is one of "all"
    match stored {
        Stored::Nothing | Stored::SealedForAnother => None,
        Stored::OneForAll => Some(FOR_ALL.into()),
        Stored::AlicesOnly if person.name != ALICE.name => None,
        Stored::AlicesOnly | Stored::OneEach | Stored::OneEachAndOneForAll => Some(own_credential(person)),
    }
}

pub(super) fn any_rule_matches(rules: &[&str], client: Option<&str>) -> bool {
    client.is_some_and(|client| rules.iter().any(|rule| matches_rule(rule, client)))
}

/// S2: "address, CIDR, `first-last`, IPv4 and IPv6, v4-mapped as v4", for the few rules that the cases have.
pub(super) fn matches_rule(rule: &str, client: &str) -> bool {
    let client = client.strip_prefix("::ffff:").unwrap_or(client);
    match rule {
        "10.1.2.3" => client == "10.1.2.3",
        "10.1.0.0/16" => client.starts_with("10.1."),
        "10.1.2.3-10.1.2.9" => (3..=9).any(|last| client == format!("10.1.2.{last}")),
        "::ffff:10.1.2.0/120" => client.starts_with("10.1.2."),
        "2001:db8::/32" => client.starts_with("2001:db8:"),
        "2001:db8::1-2001:db8::7" => (1..=7).any(|last| client == format!("2001:db8::{last}")),
        "192.0.2.0/24" => client.starts_with("192.0.2."),
        _ => unreachable!("a rule of which nobody wrote down what it means: {rule}"),
    }
}

/// What the sources may be asked for at most: nobody pays for facts on which no rule depends.
pub(super) fn may_ask(case: &Case) -> (bool, BTreeSet<String>) {
    let judged = matches!(case.path.area, Area::Protected | Area::ControlPlane | Area::Facade);
    let (user, secret) = match case.credential {
        Credential::Basic(user, secret) => (Some(user), Some(secret)),
        Credential::Bearer(secret) => (None, Some(secret)),
        _ => (None, None),
    };
    let token_found = judged && case.tokens_readable && matches!(secret, Some(Shown::Token | Shown::Imported));
    let address = judged && !case.settings.ip_rules.is_empty() && ip_rules_concern(case)
        || token_found && !case.token.addresses.is_empty();
    let mut users = BTreeSet::new();
    if token_found {
        let caller = case.token.owner.map(|owner| owner.name).or(user);
        let context_user = match case.context_user {
            [name] => Some(name.trim()),
            _ => None,
        };
        let wants_credential = case.settings.identity == Identity::Credential;
        users.extend(caller.filter(|_| case.token.owner.is_none() || wants_credential).map(str::to_lowercase));
        users.extend(context_user.map(str::to_lowercase));
    }
    (address, users)
}

// ---------------------------------------------------------------------------------------------------------------------
// The cases.
