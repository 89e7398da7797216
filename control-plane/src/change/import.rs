//! Tokens that are taken over from elsewhere, many at a time (M6).

use super::token::{ROWS, not_inserted, stored_ip_ranges};
use super::{Change, ChangeError, expect_permit};
use crate::permission::{Action, Permit};
use crate::store::{audit, tokens, users};
use policy::{IpRule, KeyedHash, Timestamp};
use sea_orm::ActiveValue::NotSet;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use serde_json::json;
use std::sync::Arc;

/// A token that is one elsewhere.
pub(crate) struct TokenToImport {
    pub(crate) public_id: String,
    pub(crate) hash: KeyedHash,
    pub(crate) label: String,
    /// As read in this change; `None`: unbound.
    pub(crate) owner: Option<Arc<users::Model>>,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) read_only: bool,
    /// None: from everywhere.
    pub(crate) ip_ranges: Vec<IpRule>,
    /// As [`policy::restrictions::Set`] writes them. (Not compiled once more: others wait.)
    pub(crate) restrictions: Option<String>,
    /// The token itself, sealed, if its owner is to see it (S7).
    pub(crate) recoverable: Option<Vec<u8>>,
}

impl Change<'_> {
    /// Takes tokens over, whose owners have room for them; each with its record. Nobody knows whether anyone has them, so none
    /// counts as a sysadmin's way in.
    pub(crate) async fn import_tokens(
        &mut self,
        permit: &Permit,
        tokens: Vec<TokenToImport>,
    ) -> Result<(), ChangeError> {
        expect_permit(permit, Action::ImportTokens)?;
        let rows: Vec<_> = tokens.into_iter().map(|token| self.row_of(token)).collect();
        for some in rows.chunks(ROWS) {
            let inserted = some
                .iter()
                .map(|(token, _)| tokens::ActiveModel { id: NotSet, ..token.clone().into_active_model().reset_all() });
            let inserted = tokens::Entity::insert_many(inserted).exec_without_returning(&self.transaction).await;
            inserted.map_err(not_inserted)?;
            let record = |(token, owner): &(tokens::Model, Option<Arc<users::Model>>)| {
                let detail = json!({
                    "owner": owner.as_ref().map(|owner| &owner.name), "label": token.label,
                    "valid_from": token.valid_from, "expires_at": token.expires_at,
                    "restrictions": token.restrictions, "read_only": token.read_only,
                    "ip_ranges": token.ip_ranges.as_deref().and_then(tokens::ip_ranges),
                });
                self.audit_row(permit, &token.public_id, detail)
            };
            let records = some.iter().map(record);
            audit::Entity::insert_many(records).exec_without_returning(&self.transaction).await?;
        }
        for (token, owner) in &rows {
            self.show(token, owner.as_deref());
        }
        Ok(())
    }

    fn row_of(&self, token: TokenToImport) -> (tokens::Model, Option<Arc<users::Model>>) {
        let TokenToImport {
            public_id,
            hash,
            label,
            owner,
            valid_from,
            expires_at,
            read_only,
            ip_ranges,
            restrictions,
            recoverable,
        } = token;
        let row = tokens::Model {
            id: 0, // the database gives one, and the proxies need none
            public_id,
            hash: hash.as_bytes().to_vec(),
            label,
            owner_id: owner.as_ref().map(|owner| owner.id),
            created_at: tokens::stored(self.now),
            valid_from: valid_from.map(tokens::stored),
            expires_at: expires_at.map(tokens::stored),
            deleted_at: None,
            read_only,
            imported: true,
            ip_ranges: stored_ip_ranges(&ip_ranges),
            restrictions,
            recoverable,
        };
        (row, owner)
    }
}
