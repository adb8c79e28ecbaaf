//! A value between two engines, and how each of them gives and takes it.

use sqlx::{
    Arguments as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
    types::Uuid,
};

use super::json::{Numbers, canonical};

/// PostgreSQL counts microseconds from 2000-01-01, everybody else from 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Uuid,
    Bytes,
    Text,
    Json,
    Integer,
    Boolean,
    /// Microseconds since 1970.
    Instant,
}

impl Kind {
    /// From PostgreSQL's name of the type; `None` for one that no table has had so far.
    pub(super) fn of_postgres(name: &str) -> Option<Self> {
        Some(match name {
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytes,
            "text" => Self::Text,
            "jsonb" => Self::Json,
            "bigint" => Self::Integer,
            "boolean" => Self::Boolean,
            "timestamp with time zone" => Self::Instant,
            _ => return None,
        })
    }

    /// From the declared type of a column of a `STRICT` table.
    pub(super) fn of_sqlite(name: &str) -> Option<Self> {
        Some(match name {
            "BLOB" => Self::Bytes,
            "TEXT" => Self::Text,
            "INTEGER" => Self::Integer,
            _ => return None,
        })
    }

    /// Whether SQLite keeps it in a column declared as `other`.
    pub(super) fn fits(self, other: Self) -> bool {
        let class = |kind| match kind {
            Self::Uuid | Self::Bytes => Self::Bytes,
            Self::Text | Self::Json => Self::Text,
            Self::Integer | Self::Boolean | Self::Instant => Self::Integer,
        };
        class(self) == class(other)
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Cell {
    #[serde(rename = "null")]
    Null,
    #[serde(rename = "bytes")]
    Bytes(Vec<u8>),
    #[serde(rename = "text")]
    Text(String),
    #[serde(rename = "integer")]
    Integer(i64),
}

fn integer(bytes: &[u8]) -> Result<i64, BoxDynError> {
    Ok(i64::from_be_bytes(bytes.try_into()?))
}

impl Cell {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// From PostgreSQL's binary form.
    pub(super) fn from_postgres(
        row: &PgRow,
        index: usize,
        kind: Kind,
    ) -> Result<Self, BoxDynError> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        let bytes = value.as_bytes()?;
        Ok(match kind {
            Kind::Uuid | Kind::Bytes => Self::Bytes(bytes.to_vec()),
            Kind::Text => Self::Text(str::from_utf8(bytes)?.to_owned()),
            // A version, always 1, and the text.
            Kind::Json => match bytes.split_first() {
                Some((1, text)) => Self::Text(str::from_utf8(text)?.to_owned()),
                _ => return Err("jsonb of an unknown version".into()),
            },
            Kind::Integer => Self::Integer(integer(bytes)?),
            Kind::Boolean => Self::Integer(i64::from(bytes.first() == Some(&1))),
            Kind::Instant => match integer(bytes)? {
                i64::MIN | i64::MAX => return Err("an infinite instant".into()),
                since_2000 => Self::Integer(
                    since_2000
                        .checked_add(POSTGRES_EPOCH)
                        .ok_or("an instant out of range")?,
                ),
            },
        })
    }

    /// As it lies in the file.
    pub(super) fn from_sqlite(row: &SqliteRow, index: usize) -> Result<Self, BoxDynError> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        let class = value.type_info().name().to_owned();
        Ok(match class.as_str() {
            "BLOB" => Self::Bytes(<&[u8] as Decode<Sqlite>>::decode(value)?.to_vec()),
            "TEXT" => Self::Text(<&str as Decode<Sqlite>>::decode(value)?.to_owned()),
            "INTEGER" => Self::Integer(<i64 as Decode<Sqlite>>::decode(value)?),
            other => return Err(format!("a value of class {other}").into()),
        })
    }

    /// Appends its length and bytes as `COPY … (FORMAT binary)` wants them.
    pub(super) fn put_binary(&self, kind: Kind, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
        let mut field = |version: &[u8], bytes: &[u8]| -> Result<(), BoxDynError> {
            out.extend(i32::try_from(version.len() + bytes.len())?.to_be_bytes());
            out.extend(version);
            out.extend(bytes);
            Ok(())
        };
        match (kind, self) {
            (_, Self::Null) => {
                out.extend((-1_i32).to_be_bytes());
                Ok(())
            }
            (Kind::Uuid, Self::Bytes(bytes)) if bytes.len() != 16 => {
                Err("an id that is not 16 bytes long".into())
            }
            (Kind::Uuid | Kind::Bytes, Self::Bytes(bytes)) => field(&[], bytes),
            (Kind::Text, Self::Text(text)) if text.contains('\0') => {
                Err("a NUL character, which PostgreSQL does not keep".into())
            }
            (Kind::Text, Self::Text(text)) => field(&[], text.as_bytes()),
            (Kind::Json, Self::Text(text)) => field(&[1], text.as_bytes()),
            (Kind::Integer, Self::Integer(number)) => field(&[], &number.to_be_bytes()),
            (Kind::Boolean, Self::Integer(number @ (0 | 1))) => {
                field(&[], &[u8::from(*number == 1)])
            }
            (Kind::Instant, Self::Integer(number)) => match number.checked_sub(POSTGRES_EPOCH) {
                // Those two mean infinity.
                None | Some(i64::MIN | i64::MAX) => Err("an instant out of range".into()),
                Some(since_2000) => field(&[], &since_2000.to_be_bytes()),
            },
            (kind, _) => Err(format!("a value that is no {kind:?}").into()),
        }
    }

    /// Binds it for SQLite, JSON as the service writes it there.
    pub(super) fn bind_sqlite(
        self,
        kind: Kind,
        arguments: &mut SqliteArguments,
    ) -> Result<(), BoxDynError> {
        match (kind, self) {
            (_, Self::Null) => arguments.add(None::<i64>),
            (Kind::Json, Self::Text(text)) => arguments.add(canonical(&text, Numbers::AsWritten)?),
            (_, Self::Text(text)) => arguments.add(text),
            (_, Self::Bytes(bytes)) => arguments.add(bytes),
            (_, Self::Integer(number)) => arguments.add(number),
        }
    }

    /// Binds it as a part of a key for PostgreSQL.
    pub(super) fn bind_postgres(
        &self,
        kind: Kind,
        arguments: &mut PgArguments,
    ) -> Result<(), BoxDynError> {
        match (kind, self) {
            (Kind::Uuid, Self::Bytes(bytes)) => arguments.add(Uuid::from_slice(bytes)?),
            (Kind::Bytes, Self::Bytes(bytes)) => arguments.add(bytes.as_slice()),
            (Kind::Text, Self::Text(text)) => arguments.add(text.as_str()),
            (Kind::Integer, Self::Integer(number)) => arguments.add(*number),
            (kind, _) => Err(format!("a key of {kind:?}").into()),
        }
    }
}
