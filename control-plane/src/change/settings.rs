//! Changes of the settings, and of what the backend wants to see.

use super::{Change, ChangeError, expect_permit};
use crate::image::Effect;
use crate::permission::{Action, Permit};
use crate::store::{Store, credentials, settings, tokens, users};
use policy::Settings;
use policy::credential::BackendCredential;
use policy::settings::PasswordCheck;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait as _, EntityTrait as _};
use serde_json::{Value as Json, json};

impl Change<'_> {
    /// Sets the settings: to those of a version of old, if one is named.
    pub(crate) async fn set_settings(
        &mut self,
        permit: &Permit,
        settings: Settings,
        restored: Option<i64>,
    ) -> Result<(), ChangeError> {
        expect_permit(permit, Action::ChangeSettings)?;
        let row = settings::ActiveModel {
            version: NotSet,
            revision: Set(self.revision),
            at: Set(tokens::stored(self.now)),
            document: Set(settings.to_stored_json().to_string()),
        };
        let present = self.store.settings();
        let (local, new) = (PasswordCheck::Local, settings.password_check);
        if present.0.password_check == local
            && new != local
            && !self.way_in_besides(tokens::Column::Id.is_not_null(), None, new).await?
        {
            return Err(ChangeError::LastSysadminToken);
        }
        let before = present.0.to_json();
        let version = settings::Entity::insert(row).exec(&self.transaction).await?.last_insert_id;
        let after = settings.to_json();
        let changed = |of: &Json, other: &Json| -> Json {
            let fields = of.as_object().into_iter().flatten();
            fields.filter(|(name, value)| other.get(name) != Some(value)).map(|(n, v)| (n.clone(), v.clone())).collect()
        };
        let mut detail = json!({ "before": changed(&before, &after), "after": changed(&after, &before) });
        if let Some(version) = restored {
            detail["restored"] = version.into();
        }
        self.record(permit, &version.to_string(), detail).await?;
        self.show_settings(settings).await
    }

    /// Stores, or with `None` forgets, what the backend wants to see of a user; of everyone who has none, if that is
    /// `None`. Whether this changed anything.
    pub(crate) async fn set_credential(
        &mut self,
        permit: &Permit,
        user: Option<&users::Model>,
        credential: Option<(&BackendCredential, &'static str)>,
    ) -> Result<bool, ChangeError> {
        expect_permit(permit, Action::SetBackendCredential)?;
        let (user_id, name) = user.map_or((credentials::EVERYONE, ""), |user| (user.id, user.name.as_str()));
        let deleted = credentials::Entity::delete_by_id(user_id).exec(&self.transaction).await?.rows_affected > 0;
        if credential.is_none() && !deleted {
            return Ok(false);
        }
        if let Some((credential, kind)) = credential {
            let nonce = *crate::keys::random().map_err(crate::keys::KeyError::Randomness)?;
            let key = self.store.master.credential_key();
            let row = credentials::ActiveModel {
                user_id: Set(user_id),
                sealed: Set(credential.seal(name, &key, nonce).ok_or(ChangeError::Seal)?),
                kind: Set(kind.to_owned()),
                updated_at: Set(tokens::stored(self.now)),
            };
            credentials::Entity::insert(row).exec(&self.transaction).await?;
        }
        let detail = json!({ "kind": credential.map(|(_, kind)| kind) });
        // No user is called so: names hold no slash.
        self.record(permit, if user.is_some() { name } else { "/everyone" }, detail).await?;
        match user {
            Some(user) => self.show_user(user).await?,
            None => self.show_settings(self.store.settings().0.clone()).await?,
        }
        Ok(true)
    }

    async fn show_settings(&mut self, settings: Settings) -> Result<(), ChangeError> {
        let Store { master, sync_key, .. } = self.store;
        self.effects.push(Effect::Settings(settings::image(&self.transaction, settings, master, sync_key).await?));
        Ok(())
    }
}
