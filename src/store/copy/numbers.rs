//! The numbers that the target gives to its next rows: they go on where the source was, those of rows deleted since included.

use super::{CopyError, schema::Table, side::Side};
use crate::store::{engine::Engine, error::Error};

/// Carries over the counter of every numbered column.
pub(super) async fn carry_over(
    source: &mut Side,
    target: &mut Side,
    from: &[Table],
    to: &[Table],
) -> Result<(), CopyError> {
    for there in to {
        let Some(column) = &there.numbered else {
            continue;
        };
        let here = from.iter().find(|here| here.name == there.name);
        let Some(here) = here.filter(|here| here.numbered.as_ref() == Some(column)) else {
            let name = &there.name;
            return Err(CopyError::Refused(format!(
                "{name}.{column} is numbered by the target only"
            )));
        };
        let last = last(source, here, column).await?;
        go_on(target, there, column, last).await?;
    }
    Ok(())
}

/// The last number given; 0 for none.
async fn last(side: &mut Side, table: &Table, column: &str) -> Result<i64, Error> {
    let name = &table.name;
    if side.engine() == Engine::Sqlite {
        let sql = format!("SELECT seq FROM sqlite_sequence WHERE name = '{name}'");
        return Ok(side.number(sql).await?.unwrap_or(0));
    }
    let sql = format!(
        "SELECT coalesce((SELECT last_value FROM pg_sequences WHERE format('%I.%I', schemaname, sequencename)::regclass \
         = pg_get_serial_sequence('\"{name}\"', '{column}')::regclass), 0)"
    );
    Ok(side.number(sql).await?.unwrap_or(0))
}

async fn go_on(side: &mut Side, table: &Table, column: &str, last: i64) -> Result<(), Error> {
    let name = &table.name;
    if last == 0 {
        return Ok(());
    }
    if side.engine() == Engine::Postgres {
        return side
            .run(format!(
                "SELECT setval(pg_get_serial_sequence('\"{name}\"', '{column}'), {last})"
            ))
            .await;
    }
    side.run(format!(
        "UPDATE sqlite_sequence SET seq = max(seq, {last}) WHERE name = '{name}'; \
         INSERT INTO sqlite_sequence (name, seq) SELECT '{name}', {last} \
         WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{name}')"
    ))
    .await
}
