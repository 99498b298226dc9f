//! Functions that tell of the session and of now.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;
use outcrop_types::data_type::UTC;
use outcrop_types::schema::DEFAULT_SCHEMA;
use outcrop_types::{Condition, DataType, Error, Result};

use super::simple::{RowBody, RowFunction, text, text_arg, text_or_null};
use super::zone::Zone;
use crate::context::SessionExtension;
use crate::types::catalog_field;

const US_PER_DAY: i64 = 86_400_000_000;

/// All of them.
pub(super) fn functions() -> Vec<RowFunction> {
    let name = |function, body: RowBody| {
        let field = catalog_field("name", "").unwrap_or_else(|| DataType::Text.to_field("", true));
        RowFunction::any(function, &[0], FieldRef::from(field), Volatility::Stable, body)
    };
    let of = |function, data_type: DataType, arguments: &[usize], body: RowBody| {
        RowFunction::any(function, arguments, Arc::new(data_type.to_field("", true)), Volatility::Stable, body)
    };
    vec![
        of("now", DataType::TimestampTz, &[0], |_, session| {
            Ok(timestamptz(session_of(session)?.view.transaction_time_us))
        })
        .with_aliases(&["current_timestamp", "transaction_timestamp"]),
        of("statement_timestamp", DataType::TimestampTz, &[0], |_, session| {
            Ok(timestamptz(session_of(session)?.view.statement_time_us))
        })
        .with_aliases(&["clock_timestamp"]),
        of("localtimestamp", DataType::Timestamp, &[0], |_, session| {
            Ok(ScalarValue::TimestampMicrosecond(Some(local_now(session_of(session)?)?), None))
        }),
        of("current_date", DataType::Date, &[0], |_, session| {
            let days = local_now(session_of(session)?)?.div_euclid(US_PER_DAY);
            Ok(ScalarValue::Date32(i32::try_from(days).ok()))
        })
        .with_aliases(&["today"]),
        of("current_time", DataType::Time, &[0], |_, session| {
            let us = local_now(session_of(session)?)?.rem_euclid(US_PER_DAY);
            Ok(ScalarValue::Time64Microsecond(Some(us)))
        })
        .with_aliases(&["localtime"]),
        name("current_user", |_, session| Ok(text(&session_of(session)?.view.user))).with_aliases(&[
            "session_user",
            "current_role",
            "user",
        ]),
        name("current_database", |_, session| Ok(text(&session_of(session)?.view.database)))
            .with_aliases(&["current_catalog"]),
        name("current_schema", |_, session| Ok(text_or_null(schemas(session_of(session)?).first().cloned()))),
        of("version", DataType::Text, &[0], |_, session| {
            let version = &session_of(session)?.view.server_version;
            Ok(text(format!("PostgreSQL {version} on Outcrop")))
        }),
        of("pg_backend_pid", DataType::Int4, &[0], |_, session| {
            Ok(ScalarValue::Int32(Some(session_of(session)?.view.process_id)))
        }),
        of("current_schemas", DataType::Array(Box::new(DataType::Text)), &[1], |args, session| {
            let implicit = matches!(args.first(), Some(ScalarValue::Boolean(Some(true))));
            let session = session_of(session)?;
            let implicit = implicit.then(|| text("pg_catalog"));
            let path: Vec<ScalarValue> = implicit.into_iter().chain(schemas(session).into_iter().map(text)).collect();
            Ok(ScalarValue::List(ScalarValue::new_list_nullable(&path, &DataType::Text.to_arrow())))
        }),
        of("current_setting", DataType::Text, &[1, 2], |args, session| {
            let Some(setting) = text_arg(args, 0) else {
                return Ok(text_or_null(None));
            };
            let missing_ok = matches!(args.get(1), Some(ScalarValue::Boolean(Some(true))));
            match session_of(session)?.view.setting(&setting.to_lowercase()) {
                Some(value) => Ok(text(&value)),
                None if missing_ok => Ok(text_or_null(None)),
                None => Err(unrecognized(setting)),
            }
        }),
        // Alone in a SELECT it sets (`session::control`); beside other columns it could only when it is planned.
        of("set_config", DataType::Text, &[3], |args, session| {
            let setting = text_arg(args, 0).unwrap_or_default();
            if !session_of(session)?.view.settings.contains_key(&setting.to_lowercase()) {
                return Err(unrecognized(setting));
            }
            Err(Error::new(Condition::FeatureNotSupported, "set_config is supported only as the whole of a SELECT")
                .with_hint("Call it alone and with constants, or use SET."))
        }),
        // Advisory locks do not exist, so that none is held.
        of("pg_advisory_unlock_all", DataType::Text, &[0], |_, _| Ok(text(""))),
        RowFunction::any(
            "gen_random_uuid",
            &[0],
            Arc::new(DataType::Uuid.to_field("", true)),
            Volatility::Volatile,
            |_, session| {
                let session = session_of(session)?;
                let mut bytes = [0_u8; 16];
                session.env.rng.fill(&mut bytes);
                let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
                Ok(ScalarValue::FixedSizeBinary(16, Some(uuid.as_bytes().to_vec())))
            },
        )
        .with_aliases(&["uuid_generate_v4"]),
        of("pg_postmaster_start_time", DataType::TimestampTz, &[0], |_, session| {
            Ok(timestamptz(session_of(session)?.view.transaction_time_us))
        }),
        of("pg_is_in_recovery", DataType::Bool, &[0], |_, _| Ok(ScalarValue::Boolean(Some(false)))),
        of("inet_server_addr", DataType::Text, &[0], |_, _| Ok(text_or_null(None))).with_aliases(&["inet_client_addr"]),
        of("inet_server_port", DataType::Int4, &[0], |_, _| Ok(ScalarValue::Int32(None)))
            .with_aliases(&["inet_client_port"]),
    ]
}

fn unrecognized(setting: &str) -> Error {
    Error::new(Condition::UndefinedObject, format!("unrecognized configuration parameter \"{setting}\""))
}

fn session_of(session: Option<&SessionExtension>) -> Result<&SessionExtension> {
    session.ok_or_else(|| Error::internal("a session function ran outside of a statement"))
}

/// The begin of the transaction on the session's clock.
fn local_now(session: &SessionExtension) -> Result<i64> {
    Ok(Zone::parse(&session.view.time_zone)?.to_local(session.view.transaction_time_us))
}

/// The schemas of the search path that there are, each once.
fn schemas(session: &SessionExtension) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for schema in &session.view.search_path {
        let exists = session.snapshot.as_ref().map_or(schema == DEFAULT_SCHEMA, |s| s.catalog().has_schema(schema));
        if exists && !found.contains(schema) {
            found.push(schema.clone());
        }
    }
    found
}

fn timestamptz(us: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(us), Some(UTC.into()))
}
