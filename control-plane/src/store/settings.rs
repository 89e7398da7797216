//! The settings, every version of them: the last one is in force.

use super::{OpenError, credentials};
use crate::image::{ImageError, SettingsImage};
use crate::keys::{self, MasterKey};
use policy::Settings;
use policy::feed::SyncKey;
use sea_orm::QueryOrder as _;
use sea_orm::entity::prelude::*;
use std::sync::Arc;

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "settings")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) version: i64,
    /// The revision that the change became.
    pub(crate) revision: i64,
    pub(crate) at: i64,
    /// The settings as JSON ([`Settings::to_stored_json`]).
    pub(crate) document: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The settings in force; before anybody changed any, the defaults.
pub(crate) async fn in_force(db: &impl ConnectionTrait) -> Result<Settings, OpenError> {
    let Some(last) = Entity::find().order_by_desc(Column::Version).one(db).await? else {
        return Ok(Settings::default());
    };
    let unreadable = |errors: Vec<policy::settings::Invalid>| {
        let errors: Vec<String> = errors.into_iter().map(|error| format!("{} {}", error.pointer, error.must)).collect();
        ImageError::SettingsUnreadable(errors.join("; "))
    };
    Ok(Settings::from_json(&last.document).map_err(unreadable)?)
}

/// Settings as the image holds them, with the keys and the shared backend credential sealed inside.
pub(crate) async fn image(
    db: &impl ConnectionTrait,
    settings: Settings,
    master: &MasterKey,
    sync_key: &SyncKey,
) -> Result<SettingsImage, OpenError> {
    let shared = match credentials::Entity::find_by_id(credentials::EVERYONE).one(db).await? {
        None => None,
        Some(row) => Some(row.open("", &master.credential_key()).ok_or(ImageError::SharedCredential)?),
    };
    let keys = master.filter_keys(&settings, shared);
    let nonce = *keys::random().map_err(keys::KeyError::Randomness)?;
    let encoded = settings.encode(&keys, &sync_key.seal_key(), nonce).ok_or(ImageError::Settings)?;
    Ok(SettingsImage { opened: Arc::new((settings, keys)), encoded })
}
