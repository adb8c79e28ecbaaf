//! Both sides read again and compared.

use futures_util::{StreamExt as _, future::try_join};

use super::{CopyError, CopyStep, checksum::Checksum, order::Renumber, schema::Table, side::Side};

/// The checksum of each table, given as each side knows it, which is the same on both sides.
///
/// # Errors
/// [`CopyError::Differs`] with each table that differs.
pub(super) async fn compare(
    source: &mut Side,
    target: &mut Side,
    tables: &[(&Table, &Table)],
    told: &mut dyn FnMut(CopyStep<'_>),
) -> Result<Vec<Checksum>, CopyError> {
    // Snapshots of now: what was written to the source since the copy began must not go unnoticed.
    source.begin_snapshot().await?;
    target.begin_snapshot().await?;
    let (mut sums, mut differences) = (Vec::with_capacity(tables.len()), Vec::new());
    for (table, there) in tables {
        told(CopyStep::Verifying { table: &table.name });
        let (here, there) = try_join(
            sum(source, table, Some(Renumber::default())),
            sum(target, there, None),
        )
        .await?;
        if here != there {
            let name = &table.name;
            differences.push(if here.rows == there.rows {
                format!(
                    "{name} has {} rows on both sides, but not the same",
                    here.rows
                )
            } else {
                format!(
                    "{name} has {} rows in the source and {} in the target",
                    here.rows, there.rows
                )
            });
        }
        sums.push(here);
    }
    source.end().await?;
    target.end().await?;
    if differences.is_empty() {
        Ok(sums)
    } else {
        Err(CopyError::Differs(differences))
    }
}

async fn sum(
    side: &mut Side,
    table: &Table,
    mut renumber: Option<Renumber>,
) -> Result<Checksum, CopyError> {
    let mut sum = Checksum::default();
    let mut rows = side.rows(table, None)?;
    while let Some(row) = rows.next().await {
        let mut cells = row?.cells;
        if let Some(renumber) = &mut renumber {
            renumber.apply(table, &mut cells);
        }
        let typed = table.columns.iter().map(|column| column.kind).zip(&cells);
        sum.add(typed)
            .map_err(|failure| CopyError::value(table, &cells, &failure.into()))?;
    }
    Ok(sum)
}
