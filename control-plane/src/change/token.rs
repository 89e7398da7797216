//! Changes of tokens: created, rotated, edited, deleted one by one or by a filter.

use super::{Change, ChangeError, expect_permit};
use crate::permission::{Action, Permit};
use crate::store::tokens::filter::Filter;
use crate::store::{audit, tokens, users};
use policy::restrictions;
use policy::{IpRule, KeyedHash, Timestamp};
use sea_orm::ActiveValue::{self, NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, SqlErr,
};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// Rows of one statement: SQLite takes 32,766 values, of which an audit record has ten.
pub(super) const ROWS: usize = 500;

/// A token to be.
pub(crate) struct NewToken<'a> {
    pub(crate) public_id: String,
    pub(crate) hash: KeyedHash,
    pub(crate) label: &'a str,
    /// `None`: unbound.
    pub(crate) owner_id: Option<i64>,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) read_only: bool,
    pub(crate) imported: bool,
    /// None: from everywhere.
    pub(crate) ip_ranges: Vec<IpRule>,
    pub(crate) restrictions: Option<restrictions::Set>,
    /// The token itself, sealed, if its owner is to see it again (S7).
    pub(crate) recoverable: Option<Vec<u8>>,
}

/// What is to be different about a token; `None`: stays.
#[derive(Default)]
pub(crate) struct TokenEdit<'a> {
    pub(crate) label: Option<&'a str>,
    pub(crate) expires_at: Option<Option<Timestamp>>,
    pub(crate) read_only: Option<bool>,
    pub(crate) ip_ranges: Option<Vec<IpRule>>,
    pub(crate) restrictions: Option<Option<restrictions::Set>>,
}

impl Change<'_> {
    /// Creates a token.
    pub(crate) async fn create_token(
        &mut self,
        permit: &Permit,
        new: NewToken<'_>,
    ) -> Result<tokens::Model, ChangeError> {
        expect_permit(permit, Action::CreateToken)?;
        let ip_ranges = json!(new.ip_ranges);
        let (token, owner) = self.insert_token(new, None).await?;
        let detail = json!({
            "owner": owner.as_ref().map(|owner| &owner.name), "label": token.label, "valid_from": token.valid_from,
            "expires_at": token.expires_at, "restrictions": token.restrictions, "read_only": token.read_only,
            "ip_ranges": ip_ranges, "imported": token.imported,
        });
        self.record(permit, &token.public_id, detail).await?;
        self.show(&token, owner.as_ref());
        Ok(token)
    }

    /// Creates a token in the place of another one, which ends then, or at once (`None`).
    pub(crate) async fn rotate_token(
        &mut self,
        permit: &Permit,
        old: tokens::Model,
        new: NewToken<'_>,
        old_ends: Option<Timestamp>,
    ) -> Result<tokens::Model, ChangeError> {
        expect_permit(permit, Action::RotateToken)?;
        let (token, owner) = self.insert_token(new, Some(old.id)).await?;
        let mut row: tokens::ActiveModel = old.into();
        match old_ends {
            Some(end) => row.expires_at = Set(Some(tokens::stored(end))),
            None => {
                row.deleted_at = Set(Some(tokens::stored(self.now)));
                row.recoverable = Set(None);
            }
        }
        let old = tokens::Entity::update(row).exec(&self.transaction).await?;
        self.expect_sysadmin_token(owner.as_ref()).await?;
        let detail = json!({
            "new": token.public_id, "owner": owner.as_ref().map(|owner| &owner.name), "label": token.label,
            "expires_at": token.expires_at, "old_deleted": old.deleted_at.is_some(), "old_expires_at": old.expires_at,
        });
        self.record(permit, &old.public_id, detail).await?;
        self.show(&old, owner.as_ref());
        self.show(&token, owner.as_ref());
        Ok(token)
    }

    /// Edits a token.
    pub(crate) async fn edit_token(
        &mut self,
        permit: &Permit,
        token: tokens::Model,
        owner: Option<&users::Model>,
        edit: TokenEdit<'_>,
    ) -> Result<tokens::Model, ChangeError> {
        expect_permit(permit, Action::EditToken)?;
        let TokenEdit { label, expires_at, read_only, ip_ranges, restrictions } = edit;
        // One that has expired does not count against the limit; brought back, it does.
        let expired = tokens::record(&token, owner, &self.store.master).is_expired(self.now);
        if let (true, true, Some(owner)) = (expired, expires_at.is_some(), owner) {
            self.expect_room_for_token(owner, None).await?;
        }
        let mut row: tokens::ActiveModel = token.clone().into();
        if let Some(label) = label {
            row.label = Set(label.to_owned());
        }
        if let Some(end) = expires_at {
            row.expires_at = Set(end.map(tokens::stored));
        }
        if let Some(read_only) = read_only {
            row.read_only = Set(read_only);
        }
        if let Some(ip_ranges) = ip_ranges {
            row.ip_ranges = Set(stored_ip_ranges(&ip_ranges));
        }
        if let Some(restrictions) = restrictions {
            row.restrictions = ActiveValue::Set(restrictions.as_ref().map(restrictions::Set::to_string));
        }
        let edited = tokens::Entity::update(row).exec(&self.transaction).await?;
        self.expect_sysadmin_token(owner).await?;
        let seen = |token: &tokens::Model| {
            json!({
                "label": token.label, "expires_at": token.expires_at, "read_only": token.read_only,
                "ip_ranges": token.ip_ranges.as_deref().map(tokens::ip_ranges), "restrictions": token.restrictions,
            })
        };
        let owner_name = owner.map(|owner| &owner.name);
        let detail = json!({ "owner": owner_name, "before": seen(&token), "after": seen(&edited) });
        self.record(permit, &edited.public_id, detail).await?;
        self.show(&edited, owner);
        Ok(edited)
    }

    /// Deletes a token.
    pub(crate) async fn delete_token(
        &mut self,
        permit: &Permit,
        token: tokens::Model,
        owner: Option<&users::Model>,
    ) -> Result<(), ChangeError> {
        expect_permit(permit, Action::DeleteToken)?;
        if owner.is_some_and(|owner| owner.sysadmin)
            && !self.sysadmin_token_besides(tokens::Column::Id.ne(token.id)).await?
        {
            return Err(ChangeError::LastSysadminToken);
        }
        let mut row: tokens::ActiveModel = token.into();
        row.deleted_at = Set(Some(tokens::stored(self.now)));
        row.recoverable = Set(None);
        let token = tokens::Entity::update(row).exec(&self.transaction).await?;
        let detail = json!({ "owner": owner.map(|owner| &owner.name), "label": token.label });
        self.record(permit, &token.public_id, detail).await?;
        self.show(&token, owner);
        Ok(())
    }

    /// Deletes those of these tokens that (still) match a filter; gives how many did.
    pub(crate) async fn delete_tokens(
        &mut self,
        permit: &Permit,
        filter: &Filter,
        ids: &[i64],
    ) -> Result<usize, ChangeError> {
        expect_permit(permit, Action::DeleteToken)?;
        let (mut count, mut sysadmin) = (0, None);
        // Some at a time in memory: each may have 64 KiB of restrictions.
        for ids in ids.chunks(ROWS) {
            let some = filter.matching().filter(tokens::Column::Id.is_in(ids.iter().copied()));
            let mut gone = some.all(&self.transaction).await?;
            if gone.is_empty() {
                continue;
            }
            let owners = self.take_out(&mut gone).await?;
            let row = |token: &tokens::Model| {
                let owner = token.owner_id.and_then(|owner| owners.get(&owner)).map(|owner| &owner.name);
                self.audit_row(permit, &token.public_id, json!({ "owner": owner, "label": token.label }))
            };
            audit::Entity::insert_many(gone.iter().map(row)).exec_without_returning(&self.transaction).await?;
            count += gone.len();
            sysadmin = sysadmin.or_else(|| owners.into_values().find(|owner| owner.sysadmin));
        }
        self.expect_sysadmin_token(sysadmin.as_ref()).await?;
        Ok(count)
    }

    /// That somebody could still administer without any token of this user: to be asked before all of them go in several
    /// changes, of which only the last would notice.
    pub(crate) async fn expect_to_do_without_tokens_of(&self, owner: &users::Model) -> Result<(), ChangeError> {
        if owner.sysadmin && !self.sysadmin_token_besides(tokens::Column::OwnerId.ne(owner.id)).await? {
            return Err(ChangeError::LastSysadminToken);
        }
        Ok(())
    }

    /// Shows all tokens of a user anew, now that the user is another one; gives how many. Some at a time: each may have 64 KiB
    /// of restrictions, and nobody is to be out of reach because of having many of them.
    pub(super) async fn show_tokens_of(&mut self, owner: &users::Model) -> Result<usize, DbErr> {
        let (mut count, mut after) = (0, 0);
        loop {
            let some = tokens::Entity::find()
                .filter(tokens::Column::OwnerId.eq(owner.id))
                .filter(tokens::Column::DeletedAt.is_null())
                .filter(tokens::Column::Id.gt(after))
                .order_by_asc(tokens::Column::Id)
                .limit(ROWS as u64);
            let some = some.all(&self.transaction).await?;
            let Some(last) = some.last() else {
                return Ok(count);
            };
            (count, after) = (count + some.len(), last.id);
            for token in &some {
                self.show(token, Some(owner));
            }
        }
    }

    /// Marks tokens as deleted, wipes their copies, and shows it; gives their owners.
    pub(super) async fn take_out(
        &mut self,
        gone: &mut [tokens::Model],
    ) -> Result<HashMap<i64, users::Model>, ChangeError> {
        let at = tokens::stored(self.now);
        for some in gone.chunks(ROWS) {
            tokens::Entity::update_many()
                .col_expr(tokens::Column::DeletedAt, Expr::value(at))
                .col_expr(tokens::Column::Recoverable, Expr::value(None::<Vec<u8>>))
                .filter(tokens::Column::Id.is_in(some.iter().map(|token| token.id)))
                .exec(&self.transaction)
                .await?;
        }
        let owners = self.owners_of(gone).await?;
        for token in gone {
            token.deleted_at = Some(at);
            token.recoverable = None;
            self.show(token, token.owner_id.and_then(|owner| owners.get(&owner)));
        }
        Ok(owners)
    }

    /// The owners of tokens, by their numbers.
    pub(super) async fn owners_of(&self, of: &[tokens::Model]) -> Result<HashMap<i64, users::Model>, DbErr> {
        let ids: Vec<i64> = of.iter().filter_map(|token| token.owner_id).collect::<BTreeSet<_>>().into_iter().collect();
        let mut owners = HashMap::new();
        for ids in ids.chunks(ROWS) {
            let some = users::Entity::find().filter(users::Column::Id.is_in(ids.iter().copied()));
            owners.extend(some.all(&self.transaction).await?.into_iter().map(|user| (user.id, user)));
        }
        Ok(owners)
    }

    /// Puts a token into the database, in the place of another one if that is named; gives it with its owner.
    async fn insert_token(
        &mut self,
        new: NewToken<'_>,
        in_place_of: Option<i64>,
    ) -> Result<(tokens::Model, Option<users::Model>), ChangeError> {
        let owner = match new.owner_id {
            None => None,
            Some(id) => {
                let owner = self.active_user(id).await?.ok_or(ChangeError::OwnerGone)?;
                self.expect_room_for_token(&owner, in_place_of).await?;
                Some(owner)
            }
        };
        let row = tokens::ActiveModel {
            id: NotSet,
            public_id: Set(new.public_id),
            hash: Set(new.hash.as_bytes().to_vec()),
            label: Set(new.label.to_owned()),
            owner_id: Set(new.owner_id),
            created_at: Set(tokens::stored(self.now)),
            valid_from: Set(new.valid_from.map(tokens::stored)),
            expires_at: Set(new.expires_at.map(tokens::stored)),
            deleted_at: Set(None),
            read_only: Set(new.read_only),
            imported: Set(new.imported),
            ip_ranges: Set(stored_ip_ranges(&new.ip_ranges)),
            restrictions: ActiveValue::Set(new.restrictions.as_ref().map(restrictions::Set::to_string)),
            recoverable: Set(new.recoverable),
        };
        let inserted = tokens::Entity::insert(row).exec_with_returning(&self.transaction).await;
        let token = inserted.map_err(not_inserted)?;
        Ok((token, owner))
    }

    /// That the owner may hold one more token (S8), besides the one whose place it takes.
    async fn expect_room_for_token(&self, owner: &users::Model, in_place_of: Option<i64>) -> Result<(), ChangeError> {
        let Some(most) = self.store.settings().0.max_tokens_per_user else {
            return Ok(());
        };
        let held = tokens::Entity::find()
            .filter(tokens::Column::OwnerId.eq(owner.id))
            .filter(tokens::Column::DeletedAt.is_null());
        // Mostly there are few enough, whether expired or not.
        if held.count(&self.transaction).await? < u64::from(most.get()) {
            return Ok(());
        }
        let mut held = tokens::held_by(owner.id, self.now);
        if let Some(id) = in_place_of {
            held = held.filter(tokens::Column::Id.ne(id));
        }
        let room = held.count(&self.transaction).await? < u64::from(most.get());
        if room { Ok(()) } else { Err(ChangeError::TooManyTokens) }
    }

    /// That somebody can still administer, now that a token of this owner is another one or gone.
    async fn expect_sysadmin_token(&self, owner: Option<&users::Model>) -> Result<(), ChangeError> {
        let administers = owner.is_some_and(|owner| owner.sysadmin);
        if administers && !self.sysadmin_token_besides(tokens::Column::Id.is_not_null()).await? {
            return Err(ChangeError::LastSysadminToken);
        }
        Ok(())
    }
}

/// Why a token could not be inserted.
pub(super) fn not_inserted(error: DbErr) -> ChangeError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => ChangeError::TokenExists,
        _ => error.into(),
    }
}

/// Address rules as they are stored: none is none, not an empty list.
pub(super) fn stored_ip_ranges(ip_ranges: &[IpRule]) -> Option<String> {
    (!ip_ranges.is_empty()).then(|| json!(ip_ranges).to_string())
}
