use outcrop_engine::RowOutcome;
use outcrop_types::TableName;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::key::rename_id;
use super::status::{Status, render};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

#[test]
fn id_stands_for_the_key_column_unless_that_is_there() {
    assert_eq!(rename_id(&raw(r#"{"_id":7,"a":[1, 2]}"#), "k").as_deref(), Some(r#"{"k":7,"a":[1, 2]}"#));
    assert_eq!(rename_id(&raw(r#"{"_id":7,"k":1}"#), "k"), None);
    assert_eq!(rename_id(&raw(r#"{"a":"\"_id\""}"#), "k"), None);
    assert_eq!(rename_id(&raw("[1]"), "k"), None);
}

#[test]
fn statuses_come_in_the_order_of_the_documents() {
    let statuses =
        [(None, Status::Good(0)), (Some("x".into()), Status::Bad(Failure::invalid("no"))), (None, Status::Good(1))];
    let ids = [json!("1"), json!("2")];
    let outcomes = [RowOutcome::Inserted, RowOutcome::Updated];
    let data = render(&TableName::new("commons", "t"), &statuses, &ids, &outcomes);
    let found: Vec<_> = data.iter().map(|status| (status["_id"].as_str(), status["status"].as_str())).collect();
    assert_eq!(found, [(Some("1"), Some("ADDED")), (Some("x"), Some("ERROR")), (Some("2"), Some("REPLACED")),]);
    assert_eq!(data[0]["_collection"], "commons.t");
    assert_eq!(data[1]["error"]["type"], "INVALIDINPUT");
}
