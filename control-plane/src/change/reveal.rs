//! Tokens that are shown again, in standard mode (S7). It changes nothing, and is a change all the same: nobody sees a token
//! again unless the audit has it.

use super::{Change, ChangeError, expect_permit};
use crate::permission::{Action, Permit};
use crate::store::{audit, tokens};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// Tokens that are read at a time: each may have 64 KiB of restrictions.
const ROWS: usize = 100;

impl Change<'_> {
    /// Opens the copy of a token for its owner to see again; `None`: there is none.
    pub(crate) async fn reveal_token(
        &mut self,
        permit: &Permit,
        token: &tokens::Model,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ChangeError> {
        expect_permit(permit, Action::RevealToken)?;
        let Some(opened) = tokens::recoverable::open(&self.store.master, token) else {
            return Ok(None);
        };
        self.record(permit, &token.public_id, json!({ "label": token.label })).await?;
        Ok(Some(opened))
    }

    /// The same for those of these tokens that are this owner's and have a copy, by their numbers. Each has a record of its
    /// own: whoever asks the audit who has seen a token asks by the token.
    pub(crate) async fn reveal_tokens_of(
        &mut self,
        permit: &Permit,
        owner_id: i64,
        ids: &[i64],
    ) -> Result<HashMap<i64, Zeroizing<Vec<u8>>>, ChangeError> {
        expect_permit(permit, Action::RevealToken)?;
        let mut opened = HashMap::new();
        for ids in ids.chunks(ROWS) {
            let some = tokens::Entity::find()
                .filter(tokens::Column::Id.is_in(ids.iter().copied()))
                .filter(tokens::Column::OwnerId.eq(owner_id))
                .filter(tokens::Column::DeletedAt.is_null())
                .all(&self.transaction)
                .await?;
            let mut records = Vec::new();
            for token in some {
                if let Some(copy) = tokens::recoverable::open(&self.store.master, &token) {
                    records.push(self.audit_row(permit, &token.public_id, json!({ "label": token.label })));
                    opened.insert(token.id, copy);
                }
            }
            if !records.is_empty() {
                audit::Entity::insert_many(records).exec_without_returning(&self.transaction).await?;
            }
        }
        Ok(opened)
    }
}
