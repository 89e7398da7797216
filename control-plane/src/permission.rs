//! Who may do what: one pure table, role × action.
//!
//! A [`Permit`] is the proof that the table was asked; changes want to see one.

/// What can be done by the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    CreateUser,
    ListUsers,
    ShowUser,
    EditUser,
    DeleteUser,
    CreateToken,
    ListTokens,
    ShowToken,
    EditToken,
    DeleteToken,
    ShowSettings,
    ChangeSettings,
    ShowBackendCredential,
    SetBackendCredential,
    ListProxies,
    ForgetProxy,
}

/// Who wants it done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Sysadmin,
}

/// Whose thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Own,
    Others,
}

/// The proof that an action was allowed. Only [`permit`] makes one.
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

/// Asks the table.
pub(crate) fn permit(role: Role, action: Action, whose: Whose) -> Option<Permit> {
    let allowed = match (action, role, whose) {
        (_, Role::Sysadmin, _) => true,
        (
            Action::CreateUser
            | Action::ListUsers
            | Action::EditUser
            | Action::DeleteUser
            | Action::ShowSettings
            | Action::ChangeSettings
            | Action::ShowBackendCredential
            | Action::SetBackendCredential
            | Action::ListProxies
            | Action::ForgetProxy,
            Role::User,
            _,
        ) => false,
        (
            Action::ShowUser
            | Action::CreateToken
            | Action::ListTokens
            | Action::ShowToken
            | Action::EditToken
            | Action::DeleteToken,
            Role::User,
            whose,
        ) => whose == Whose::Own,
    };
    allowed.then_some(Permit { action })
}

impl Action {
    /// The name under which it stands in the audit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateUser => "user.create",
            Self::ListUsers => "user.list",
            Self::ShowUser => "user.show",
            Self::EditUser => "user.edit",
            Self::DeleteUser => "user.delete",
            Self::CreateToken => "token.create",
            Self::ListTokens => "token.list",
            Self::ShowToken => "token.show",
            Self::EditToken => "token.edit",
            Self::DeleteToken => "token.delete",
            Self::ShowSettings => "settings.show",
            Self::ChangeSettings => "settings.change",
            Self::ShowBackendCredential => "backend_credential.show",
            Self::SetBackendCredential => "backend_credential.set",
            Self::ListProxies => "proxy.list",
            Self::ForgetProxy => "proxy.forget",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as a reviewer reads it: U a user, S a sysadmin; own, others'.
    const TABLE: &str = "\
        action                   U own  U others  S own  S others\n\
        user.create              -      -         yes    yes\n\
        user.list                -      -         yes    yes\n\
        user.show                yes    -         yes    yes\n\
        user.edit                -      -         yes    yes\n\
        user.delete              -      -         yes    yes\n\
        token.create             yes    -         yes    yes\n\
        token.list               yes    -         yes    yes\n\
        token.show               yes    -         yes    yes\n\
        token.edit               yes    -         yes    yes\n\
        token.delete             yes    -         yes    yes\n\
        settings.show            -      -         yes    yes\n\
        settings.change          -      -         yes    yes\n\
        backend_credential.show  -      -         yes    yes\n\
        backend_credential.set   -      -         yes    yes\n\
        proxy.list               -      -         yes    yes\n\
        proxy.forget             -      -         yes    yes\n";

    #[test]
    fn s6_the_table() {
        use Action::*;
        let mut table = String::from("action                   U own  U others  S own  S others\n");
        for action in [
            CreateUser,
            ListUsers,
            ShowUser,
            EditUser,
            DeleteUser,
            CreateToken,
            ListTokens,
            ShowToken,
            EditToken,
            DeleteToken,
            ShowSettings,
            ChangeSettings,
            ShowBackendCredential,
            SetBackendCredential,
            ListProxies,
            ForgetProxy,
        ] {
            let cell = |role, whose| if permit(role, action, whose).is_some() { "yes" } else { "-" };
            table += &format!(
                "{:<25}{:<7}{:<10}{:<7}{}\n",
                action.name(),
                cell(Role::User, Whose::Own),
                cell(Role::User, Whose::Others),
                cell(Role::Sysadmin, Whose::Own),
                cell(Role::Sysadmin, Whose::Others),
            );
        }
        assert_eq!(table, TABLE);
    }
}
