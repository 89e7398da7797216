//! The schema, step by step. A step that has been released is never edited.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::*;
use sea_orm_migration::sea_orm::DbBackend;

/// All steps, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(FirstLight), Box::new(Verdict), Box::new(Feed), Box::new(Administration)]
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

/// Settings, backend credentials, unbound and restricted tokens.
struct Verdict;

impl MigrationName for Verdict {
    fn name(&self) -> &str {
        "m0002_verdict"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Verdict {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let settings = Table::create()
            .table("settings")
            .col(big_pk_auto("version"))
            .col(big_integer("revision"))
            .col(big_integer("at"))
            .col(text("document"))
            .to_owned();
        let credentials = Table::create()
            .table("backend_credentials")
            .col(big_integer("user_id").primary_key())
            .col(blob("sealed"))
            .col(string("kind"))
            .col(big_integer("updated_at"))
            .to_owned();
        manager.create_table(settings).await?;
        manager.create_table(credentials).await?;
        let on_behalf_of = Table::alter().table("audit").add_column(string_null("on_behalf_of")).to_owned();
        manager.alter_table(on_behalf_of).await?;

        // An owner may be missing now, which SQLite can only say of a new table.
        let aside = Table::rename().table("tokens", "tokens_m0001").to_owned();
        manager.rename_table(aside).await?;
        let tokens = Table::create()
            .table("tokens")
            .col(big_pk_auto("id"))
            .col(string_uniq("public_id"))
            .col(blob("hash").unique_key())
            .col(string("label"))
            .col(big_integer_null("owner_id"))
            .col(big_integer("created_at"))
            .col(big_integer_null("valid_from"))
            .col(big_integer_null("expires_at"))
            .col(big_integer_null("deleted_at"))
            .col(boolean("read_only"))
            .col(boolean("imported"))
            .col(text_null("ip_ranges"))
            .col(text_null("restrictions"))
            .foreign_key(ForeignKey::create().from("tokens", "owner_id").to("users", "id"))
            .to_owned();
        manager.create_table(tokens).await?;
        let kept =
            ["id", "public_id", "hash", "label", "owner_id", "created_at", "valid_from", "expires_at", "deleted_at"];
        let columns = kept.join(", ");
        let copy = format!(
            "INSERT INTO tokens ({columns}, read_only, imported) SELECT {columns}, FALSE, FALSE FROM tokens_m0001"
        );
        manager.get_connection().execute_unprepared(&copy).await?;
        manager.drop_table(Table::drop().table("tokens_m0001").to_owned()).await?;
        let owners_tokens = Index::create().name("tokens_owner").table("tokens").col("owner_id").col("id").to_owned();
        manager.create_index(owners_tokens).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The proxies, and what they report of calls.
struct Feed;

impl MigrationName for Feed {
    fn name(&self) -> &str {
        "m0003_feed"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Feed {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let proxies = Table::create()
            .table("proxies")
            .col(string("instance").primary_key())
            .col(string("name"))
            .col(string_null("address"))
            .col(big_integer("first_seen_at"))
            .col(big_integer("seen_at"))
            .col(big_integer_null("trusts_ms"))
            .col(string("version"))
            .col(integer("workers"))
            .to_owned();
        let reports = Table::create()
            .table("usage_reports")
            .col(string("instance").primary_key())
            .col(big_integer("next"))
            .col(big_integer("seen_at"))
            .to_owned();
        let usage = Table::create()
            .table("token_usage")
            .col(big_integer("token_id").primary_key())
            .col(big_integer("uses"))
            .col(big_integer("last_at"))
            .col(string_null("last_address"))
            .foreign_key(ForeignKey::create().from("token_usage", "token_id").to("tokens", "id"))
            .to_owned();
        let calls = Table::create()
            .table("calls")
            .col(big_pk_auto("id"))
            .col(big_integer("at"))
            .col(big_integer("calls"))
            .col(string("outcome"))
            .col(string_null("token"))
            .col(string_null("user"))
            .col(string_null("actor"))
            .col(string_null("method"))
            .col(string_null("path"))
            .col(string_null("address"))
            .col(integer_null("status"))
            .col(string_null("request_id"))
            .col(string("proxy"))
            .to_owned();
        for table in [proxies, reports, usage, calls] {
            manager.create_table(table).await?;
        }
        let by_time = Index::create().name("calls_at").table("calls").col("at").to_owned();
        manager.create_index(by_time).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Passwords, recoverable copies of tokens, answers to repeated requests, and what lists and searches are read by.
struct Administration;

impl MigrationName for Administration {
    fn name(&self) -> &str {
        "m0004_administration"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Administration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let password = Table::alter().table("users").add_column(string_null("password_hash")).to_owned();
        manager.alter_table(password).await?;
        let recoverable = Table::alter().table("tokens").add_column(blob_null("recoverable")).to_owned();
        manager.alter_table(recoverable).await?;
        let mode = ColumnDef::new("standard_mode").boolean().not_null().default(false).to_owned();
        manager.alter_table(Table::alter().table("feed_head").add_column(mode).to_owned()).await?;
        let idempotency = Table::create()
            .table("idempotency")
            .col(blob("key_hash").primary_key())
            .col(blob("request_hash"))
            .col(integer("status"))
            .col(blob("sealed"))
            .col(big_integer("at"))
            .to_owned();
        manager.create_table(idempotency).await?;
        for (name, table, columns) in [
            ("idempotency_at", "idempotency", ["at"].as_slice()),
            // Read in the order of (time, id): in SQLite the id stands at the end of every index.
            ("audit_at", "audit", &["at"]),
            ("audit_actor", "audit", &["actor", "at"]),
            ("audit_subject", "audit", &["subject", "at"]),
            ("audit_action", "audit", &["action", "at"]),
            ("calls_user", "calls", &["user", "at"]),
            ("calls_token", "calls", &["token", "at"]),
            ("calls_outcome", "calls", &["outcome", "at"]),
        ] {
            let mut index = Index::create().name(name).table(table).to_owned();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        manager.drop_index(Index::drop().name("tokens_owner").table("tokens").to_owned()).await?;
        // Lists show tokens that are there; the deleted ones, which are remembered for a while, stand in an index of their
        // own, by which they are forgotten. SQLite ends each index with the row's number, and reads from a pair of key and
        // number on only where that is not named once more; elsewhere it has to be.
        let id = if manager.get_database_backend() == DbBackend::Sqlite { "" } else { ", id" };
        let live = "WHERE deleted_at IS NULL";
        for statement in [
            format!("CREATE INDEX tokens_owner ON tokens (owner_id{id}) {live}"),
            format!("CREATE INDEX tokens_label ON tokens (label{id}) {live}"),
            format!("CREATE INDEX tokens_created ON tokens (created_at{id}) {live}"),
            format!("CREATE INDEX tokens_expires ON tokens (expires_at{id}) {live} AND expires_at IS NOT NULL"),
            format!("CREATE INDEX tokens_deleted ON tokens (deleted_at{id}) WHERE deleted_at IS NOT NULL"),
            format!("CREATE INDEX token_usage_last_at ON token_usage (last_at{})", id.replace("id", "token_id")),
        ] {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
