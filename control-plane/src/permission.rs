//! Who may do what: one pure table, role × action.
//!
//! A [`Permit`] is the proof that the table was asked; changes want to see one.

/// The actions, each with the name under which it stands in the audit.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)+) => {
        /// What can be done by the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Action {
            $($(#[$doc])* $action,)+
        }

        impl Action {
            /// All of them.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$action,)+];

            /// The name under which it stands in the audit.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)+
                }
            }
        }
    };
}

actions! {
    ReadOpenApi = "openapi.read",
    CreateUser = "user.create",
    ListUsers = "user.list",
    ShowUser = "user.show",
    EditUser = "user.edit",
    DeleteUser = "user.delete",
    /// A local password, or none.
    SetPassword = "user.password",
    CreateToken = "token.create",
    /// Many of everyone's, that are tokens elsewhere (M6).
    ImportTokens = "token.import",
    ListTokens = "token.list",
    ShowToken = "token.show",
    /// The token itself, in standard mode (S7).
    RevealToken = "token.reveal",
    /// What becomes of requests with a token, and why (M9).
    ExplainToken = "token.explain",
    EditToken = "token.edit",
    RotateToken = "token.rotate",
    DeleteToken = "token.delete",
    /// Other restrictions, on the calls that were made with it.
    TryToken = "token.try",
    ShowSettings = "settings.show",
    ChangeSettings = "settings.change",
    /// Other settings, on the calls that were made.
    TrySettings = "settings.try",
    ShowBackendCredential = "backend_credential.show",
    SetBackendCredential = "backend_credential.set",
    ListProxies = "proxy.list",
    ForgetProxy = "proxy.forget",
    /// What was changed, by whom.
    ListAudit = "audit.list",
    /// Which calls were made.
    ListCalls = "call.list",
}

/// Who wants it done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody in particular.
    Anonymous,
    /// Whoever came with a token that is restricted in any way, or unbound.
    #[cfg_attr(not(test), expect(dead_code, reason = "`decide` refuses them; the table says so for whoever reads it"))]
    Restricted,
    User,
    Sysadmin,
}

/// Whose thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Own,
    Others,
}

/// The proof that an action was allowed. Only [`permit`] and [`own_permit`] make one.
#[derive(Debug)]
pub(crate) struct Permit {
    action: Action,
}

impl Permit {
    /// What was allowed.
    pub(crate) fn action(&self) -> Action {
        self.action
    }
}

/// The permit of the program itself, and of whoever is at its machine: they may do anything.
pub(crate) fn own_permit(action: Action) -> Permit {
    Permit { action }
}

/// Asks the table.
pub(crate) fn permit(role: Role, action: Action, whose: Whose) -> Option<Permit> {
    let allowed = match (action, role) {
        (Action::ReadOpenApi, Role::Anonymous | Role::Restricted | Role::User | Role::Sysadmin) => true,
        // `decide` refuses them before anybody asks.
        (_, Role::Anonymous | Role::Restricted) => false,
        // Nobody sees another's token (S6).
        (Action::RevealToken, Role::User | Role::Sysadmin) => whose == Whose::Own,
        (_, Role::Sysadmin) => true,
        (
            Action::CreateUser
            | Action::ListUsers
            | Action::EditUser
            | Action::DeleteUser
            | Action::ImportTokens
            | Action::ShowSettings
            | Action::ChangeSettings
            | Action::TrySettings
            | Action::ShowBackendCredential
            | Action::SetBackendCredential
            | Action::ListProxies
            | Action::ForgetProxy
            | Action::ListAudit,
            Role::User,
        ) => false,
        (
            Action::ShowUser
            | Action::SetPassword
            | Action::CreateToken
            | Action::ListTokens
            | Action::ShowToken
            | Action::ExplainToken
            | Action::EditToken
            | Action::RotateToken
            | Action::DeleteToken
            | Action::TryToken
            | Action::ListCalls,
            Role::User,
        ) => whose == Whose::Own,
    };
    allowed.then_some(Permit { action })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as a reviewer reads it: A anonymous, R restricted, U a user, S a sysadmin; own, others'.
    const TABLE: &str = "\
        action                   A    R    U own  U others  S own  S others\n\
        openapi.read             yes  yes  yes    yes       yes    yes\n\
        user.create              -    -    -      -         yes    yes\n\
        user.list                -    -    -      -         yes    yes\n\
        user.show                -    -    yes    -         yes    yes\n\
        user.edit                -    -    -      -         yes    yes\n\
        user.delete              -    -    -      -         yes    yes\n\
        user.password            -    -    yes    -         yes    yes\n\
        token.create             -    -    yes    -         yes    yes\n\
        token.import             -    -    -      -         yes    yes\n\
        token.list               -    -    yes    -         yes    yes\n\
        token.show               -    -    yes    -         yes    yes\n\
        token.reveal             -    -    yes    -         yes    -\n\
        token.explain            -    -    yes    -         yes    yes\n\
        token.edit               -    -    yes    -         yes    yes\n\
        token.rotate             -    -    yes    -         yes    yes\n\
        token.delete             -    -    yes    -         yes    yes\n\
        token.try                -    -    yes    -         yes    yes\n\
        settings.show            -    -    -      -         yes    yes\n\
        settings.change          -    -    -      -         yes    yes\n\
        settings.try             -    -    -      -         yes    yes\n\
        backend_credential.show  -    -    -      -         yes    yes\n\
        backend_credential.set   -    -    -      -         yes    yes\n\
        proxy.list               -    -    -      -         yes    yes\n\
        proxy.forget             -    -    -      -         yes    yes\n\
        audit.list               -    -    -      -         yes    yes\n\
        call.list                -    -    yes    -         yes    yes\n";

    #[test]
    fn s6_the_table() {
        let mut table = String::from("action                   A    R    U own  U others  S own  S others\n");
        for &action in Action::ALL {
            let cell = |role, whose| if permit(role, action, whose).is_some() { "yes" } else { "-" };
            table += &format!(
                "{:<25}{:<5}{:<5}{:<7}{:<10}{:<7}{}\n",
                action.name(),
                cell(Role::Anonymous, Whose::Others),
                cell(Role::Restricted, Whose::Own),
                cell(Role::User, Whose::Own),
                cell(Role::User, Whose::Others),
                cell(Role::Sysadmin, Whose::Own),
                cell(Role::Sysadmin, Whose::Others),
            );
        }
        assert_eq!(table, TABLE);
    }
}
