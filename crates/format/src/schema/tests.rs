use outcrop_testkit::generate::{SchemaShape, schemas};
use outcrop_types::{ColumnId, Retention, TableOptions, TableSchema, Value};
use proptest::prelude::*;

use super::{COLUMN, decode_table_schema, encode_table_schema};
use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};
use crate::section::WhenUnknown;

fn encoded(schema: &TableSchema) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_table_schema(schema, &mut Encoder::new(&mut bytes));
    bytes
}

fn decoded(bytes: &[u8]) -> Result<TableSchema, DecodeError> {
    decode_table_schema(&mut Decoder::new(bytes))
}

fn any_schema() -> BoxedStrategy<TableSchema> {
    (schemas(SchemaShape { key_columns: 0..=3, ..SchemaShape::default() }), any::<(bool, u32, u32)>())
        .prop_map(|(mut schema, (append_only, version, collation))| {
            schema.options.append_only = append_only;
            if let (true, Some(first), Some(last)) = (collation % 2 == 0, schema.columns.first(), schema.columns.last())
            {
                schema.options.sort_key = vec![last.id, first.id];
                schema.options.retention = Some(Retention { column: first.id, period_us: i64::from(version) });
            }
            schema.version = outcrop_types::SchemaVersion::new(version);
            if append_only {
                schema.next_column = ColumnId::new(version);
                schema.comments.table = Some("of the table".to_owned());
                let of_columns = schema.columns.iter().map(|column| (column.id, format!("of {}", column.name)));
                schema.comments.columns = of_columns.collect();
            }
            for column in &mut schema.columns {
                column.collation = collation;
                column.write_default = append_only.then(|| "now()".to_owned());
            }
            schema
        })
        .boxed()
}

proptest! {
    #[test]
    fn schemas_come_back(schema in any_schema()) {
        prop_assert_eq!(decoded(&encoded(&schema)), Ok(schema));
    }

    #[test]
    fn truncated_schemas_are_errors_or_lack_only_whole_parts(schema in any_schema()) {
        let bytes = encoded(&schema);
        for len in 0..bytes.len() {
            // What lacks a whole section at its end is a schema; frames and manifests know their length (B4).
            if let Ok(found) = decoded(&bytes[..len]) {
                let without = |schema: &TableSchema| {
                    let options = TableOptions { append_only: schema.options.append_only, ..TableOptions::default() };
                    TableSchema { options, ..schema.clone() }
                };
                prop_assert_eq!(without(&found), without(&schema), "{} of {} bytes", len, bytes.len());
                prop_assert!(found.options != schema.options);
            }
        }
    }
}

fn small() -> TableSchema {
    let shape = SchemaShape { columns: 2..=2, key_columns: 1..=1, ..SchemaShape::default() };
    outcrop_testkit::generate::from_seed(&schemas(shape), 1)
}

#[test]
fn schemas_that_contradict_themselves_are_refused() {
    let mut twice = small();
    twice.columns[1].id = twice.columns[0].id;
    let column = twice.columns[0].id;
    assert_eq!(decoded(&encoded(&twice)).unwrap_err().what, DecodeProblem::RepeatedColumn { column });

    let mut dangling = small();
    dangling.keys[0].columns = vec![ColumnId::new(99)];
    let problem = DecodeProblem::Inconsistent("key over a column that the table does not have");
    assert_eq!(decoded(&encoded(&dangling)).unwrap_err().what, problem);

    let problem = DecodeProblem::Inconsistent("option over a column that the table does not have");
    let mut unsorted = small();
    unsorted.options.sort_key = vec![ColumnId::new(99)];
    assert_eq!(decoded(&encoded(&unsorted)).unwrap_err().what, problem);
    let mut timeless = small();
    timeless.options.retention = Some(Retention { column: ColumnId::new(99), period_us: 1 });
    assert_eq!(decoded(&encoded(&timeless)).unwrap_err().what, problem);
}

#[test]
fn a_column_of_a_later_version_is_read_unless_its_addition_must_be_understood() {
    let mut schema = small();
    let last = schema.columns.pop().unwrap();
    let with_extension = |when_unknown| {
        let mut bytes = encoded(&schema);
        Encoder::new(&mut bytes).put_section(COLUMN, WhenUnknown::Refuse, |out| {
            super::encode_column(&last, out);
            out.put_section(40, when_unknown, |out| super::encode_value(&Value::Int(1), out));
        });
        decoded(&bytes)
    };
    assert_eq!(with_extension(WhenUnknown::Skip).unwrap().columns.last(), Some(&last));
    let problem = DecodeProblem::Section { container: "column", tag: 40 };
    assert_eq!(with_extension(WhenUnknown::Refuse).unwrap_err().what, problem);
}
