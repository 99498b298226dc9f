use super::complete::Completion;
use super::keywords::KEYWORDS;
use super::split::{is_blank, split, table_name};
use super::table::Layout;

#[test]
fn scripts_are_split_at_semicolons_outside_of_everything() {
    let text = "SELECT 1; SELECT ';', \";\", e'\\';', $$;$$, $a$;$$;$a$ -- ;\n, 'it''s;' /* ; /* ; */ ; */;\n SELECT 3";
    let (statements, end) = split(text);
    assert_eq!(statements.len(), 2, "{statements:?}");
    assert_eq!(statements[0], "SELECT 1");
    assert!(statements[1].ends_with("*/"));
    assert_eq!(&text[end..], "\n SELECT 3");
    assert_eq!(split(";;  ; -- only a comment\n;").0, Vec::<&str>::new());
    assert_eq!(split("SELECT 'open; ").0, Vec::<&str>::new());
    assert_eq!(split("SELECT '日本;'; x").0, ["SELECT '日本;'"]);
}

#[test]
fn comments_are_blank_and_strings_are_not() {
    for blank in ["", " \n", "-- a", "/* ; */ -- b\n "] {
        assert!(is_blank(blank), "{blank:?}");
    }
    for text in ["a", "''", "$$$$", "-- a\n1", "/* */ ;"] {
        assert!(!is_blank(text), "{text:?}");
    }
}

#[test]
fn names_of_tables_are_folded_unless_quoted() {
    assert_eq!(table_name("Flights"), (None, "flights".to_owned()));
    assert_eq!(table_name("s.\"A.\"\"b\""), (Some("s".to_owned()), "A.\"b".to_owned()));
}

fn shown(is_expanded: bool) -> String {
    let rows = vec![
        vec![Some("1".to_owned()), Some("one\ntwo".to_owned()), None],
        vec![Some("-20".to_owned()), Some("日本".to_owned()), Some("x".to_owned())],
    ];
    let names = ["n", "text", "a"].map(str::to_owned).to_vec();
    let mut layout = Layout::new(names, &rows, is_expanded);
    let mut out = Vec::new();
    layout.head(&mut out).unwrap();
    for row in &rows {
        layout.row(row, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn rows_are_aligned_as_psql_aligns_them() {
    assert_eq!(shown(false), "  n  | text | a\n-----+------+---\n   1 | one +|\n     | two  |\n -20 | 日本 | x\n");
}

#[test]
fn expanded_rows_have_a_line_for_each_cell() {
    assert_eq!(
        shown(true),
        "-[ RECORD 1 ]----\nn    | 1\ntext | one\n     | two\na    |\n-[ RECORD 2 ]----\nn    | -20\ntext | 日本\na    | x\n"
    );
}

#[test]
fn completion_offers_names_and_keywords_in_the_case_that_was_begun() {
    assert!(KEYWORDS.is_sorted());
    let mut completion = Completion::default();
    completion.set_names(vec!["flights".into(), "flights".into(), "origin".into()]);
    assert_eq!(completion.offer("SELECT * FROM fl", 16), (14, vec!["flights".to_owned()]));
    assert_eq!(completion.offer("SEL", 3), (0, vec!["SELECT".to_owned()]));
    assert_eq!(completion.offer("select or", 9).1, ["origin", "or", "order"]);
    assert_eq!(completion.offer("select ", 7).1, Vec::<String>::new());
}
