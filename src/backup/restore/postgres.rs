//! PostgreSQL: the tables of the backup come in one transaction, and those of before go only afterwards.

use std::path::Path;

use super::super::manifest::Manifest;
use super::super::{Context, Error, tools};
use super::compare;
use crate::store::Aside;

/// Restores in one transaction, with what was there moved aside until that has succeeded.
pub(super) async fn put(
    context: &Context,
    mut link: Aside,
    file: &Path,
    manifest: &Manifest,
) -> Result<(), Error> {
    context.progress.step("restoring the database");
    let aside = format!("convoke_replaced_{}", context.clock.now().as_second());
    let here = link.ask_postgres("SELECT current_schema()::text").await?;
    let here = here.first().cloned().unwrap_or_else(|| "public".to_owned());
    let old = link.tables().await?;
    if !old.is_empty() {
        let moves = move_tables(&old, &here, &aside);
        link.run_postgres(format!("BEGIN; CREATE SCHEMA {aside}; {moves} COMMIT"))
            .await?;
    }
    let restored = match tools::pg_restore(context, &context.store.direct_url, file).await {
        Ok(()) => compare(&mut link, manifest).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = restored {
        if !old.is_empty() {
            let drops = drop_tables(&link.tables().await?);
            let moves = move_tables(&old, &aside, &here);
            link.run_postgres(format!(
                "BEGIN; {drops} {moves} DROP SCHEMA {aside}; COMMIT"
            ))
            .await?;
        }
        return Err(failure);
    }
    link.adopt_change_log().await?;
    link.forget_identity().await?;
    if !old.is_empty() {
        link.run_postgres(format!("DROP SCHEMA {aside} CASCADE"))
            .await?;
    }
    // Without its figures the planner would guess until the server looks by itself.
    link.run_postgres("ANALYZE".to_owned()).await?;
    link.close().await;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn move_tables(tables: &[String], from: &str, to: &str) -> String {
    let (from, to) = (quoted(from), quoted(to));
    tables.iter().fold(String::new(), |sql, table| {
        format!(
            "{sql}ALTER TABLE {from}.{} SET SCHEMA {to}; ",
            quoted(table)
        )
    })
}

fn drop_tables(tables: &[String]) -> String {
    tables.iter().fold(String::new(), |sql, table| {
        format!("{sql}DROP TABLE {} CASCADE; ", quoted(table))
    })
}
