//! What is seen between two steps of a worker only.

use outcrop_env::Env;
use outcrop_types::{DataType, TableId, TableName, TableOptions, Value};

use super::*;
use crate::flush::is_published;
use crate::rewrite::RewriteJob;
use crate::{NewColumn, NewTable, OnConflict};

fn table_of_one_row(engine: &Engine) -> (TableId, TableName) {
    let name = TableName::new("commons", "t");
    let column = NewColumn {
        name: "id".to_owned(),
        data_type: DataType::Int8,
        nullable: false,
        write_default: None,
        initial_default: Value::Null,
    };
    let table =
        NewTable { name: name.clone(), columns: vec![column], primary_key: None, options: TableOptions::default() };
    engine.ddl(Ddl::CreateTable(table)).wait().unwrap();
    let snapshot = engine.snapshot();
    let schema = snapshot.catalog().table(&name).unwrap();
    let mut write = engine.write(&snapshot, schema.id, WriteMode::Insert(OnConflict::Error)).unwrap();
    write.insert(outcrop_testkit::batch_of(schema, &[vec![Value::Int(1)]])).unwrap();
    write.commit().wait().unwrap();
    (schema.id, name)
}

#[test]
fn a_flush_of_a_table_that_is_dropped_or_truncated_meanwhile_is_given_up() {
    for truncate in [false, true] {
        let (env, _sim) = Env::simulated(1);
        let engine = Engine::open(&env, EngineOptions::default()).unwrap();
        let (table, name) = table_of_one_row(&engine);
        let node = engine.node();
        seal(node, table).unwrap();
        let sealed = sealed_generations(node, None).remove(0);
        let before = engine.snapshot();
        assert!(is_published(&before, &sealed).unwrap());
        assert!(RewriteJob::new(node, &before, table, &[sealed.unit]).unwrap().is_some());
        let gone = if truncate { Ddl::Truncate(vec![name]) } else { Ddl::DropTable(name) };
        engine.ddl(gone).wait().unwrap();
        let after = engine.snapshot();
        assert!(!is_published(&after, &sealed).unwrap());
        assert!(RewriteJob::new(node, &after, table, &[sealed.unit]).unwrap().is_none());
        assert_eq!(node.shards.read().len(), usize::from(truncate), "a dropped table leaves no writer");
    }
}
