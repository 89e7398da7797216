//! The schema, step by step. A step that has been released is never edited.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;

/// All steps, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(FirstLight)]
    }
}

struct FirstLight;

impl MigrationName for FirstLight {
    fn name(&self) -> &str {
        "m0001_first_light"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for FirstLight {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = Table::create()
            .table("users")
            .col(big_pk_auto("id"))
            .col(string("name"))
            .col(string_null("name_folded").unique_key())
            .col(string_null("email"))
            .col(string_null("email_folded").unique_key())
            .col(boolean("sysadmin"))
            .col(boolean("suspended"))
            .col(big_integer("created_at"))
            .to_owned();
        let tokens = Table::create()
            .table("tokens")
            .col(big_pk_auto("id"))
            .col(string_uniq("public_id"))
            .col(blob("hash").unique_key())
            .col(string("label"))
            .col(big_integer("owner_id"))
            .col(big_integer("created_at"))
            .col(big_integer_null("valid_from"))
            .col(big_integer_null("expires_at"))
            .col(big_integer_null("deleted_at"))
            .foreign_key(ForeignKey::create().from("tokens", "owner_id").to("users", "id"))
            .to_owned();
        let audit = Table::create()
            .table("audit")
            .col(big_pk_auto("id"))
            .col(big_integer("at"))
            .col(big_integer("revision"))
            .col(string("actor"))
            .col(string_null("actor_token"))
            .col(string("action"))
            .col(string("subject"))
            .col(text("detail"))
            .col(string_null("request_id"))
            .to_owned();
        let feed_head = Table::create()
            .table("feed_head")
            .col(integer("id").primary_key())
            .col(big_integer("epoch"))
            .col(big_integer("revision"))
            .col(big_integer("tag"))
            .col(big_integer("hash_key_id"))
            .to_owned();
        for table in [users, tokens, audit, feed_head] {
            manager.create_table(table).await?;
        }
        let owners_tokens = Index::create().name("tokens_owner").table("tokens").col("owner_id").col("id").to_owned();
        manager.create_index(owners_tokens).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
