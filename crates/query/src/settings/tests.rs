use outcrop_types::Condition;

use super::Settings;

#[test]
fn local_values_end_with_the_block_and_others_only_with_rollback() {
    let mut settings = Settings::default();
    settings.set("application_name", "a").unwrap();
    settings.begin();
    settings.set_local("application_name", "b").unwrap();
    assert_eq!(settings.text("application_name"), "b");
    settings.set("search_path", "x").unwrap();
    settings.rollback();
    assert_eq!(settings.text("application_name"), "a");
    assert_eq!(settings.text("search_path"), "\"$user\", public");
    settings.begin();
    settings.set("search_path", "x").unwrap();
    settings.commit();
    assert_eq!(settings.text("search_path"), "x");
    settings.reset("Search_Path").unwrap();
    assert_eq!(settings.text("search_path"), "\"$user\", public");
}

#[test]
fn settings_of_applications_are_limited_in_number_and_size_also_in_a_block() {
    let refused =
        |result: outcrop_types::Result<()>| result.unwrap_err().condition() == Condition::ProgramLimitExceeded;
    for set in [Settings::set, Settings::set_local] {
        let mut settings = Settings::default();
        for i in 0..1_000 {
            set(&mut settings, &format!("app.s{i}"), "x").unwrap();
        }
        assert!(refused(set(&mut settings, "app.more", "x")));
        set(&mut settings, "app.s1", "y").unwrap();
        set(&mut settings, "application_name", "y").unwrap();
        let mut settings = Settings::default();
        set(&mut settings, "app.a", &"x".repeat(1 << 19)).unwrap();
        assert!(refused(set(&mut settings, "app.b", &"x".repeat(1 << 19))));
        set(&mut settings, "app.a", &"y".repeat(1 << 19)).unwrap();
    }
}

#[test]
fn values_are_checked_and_shown_as_postgresql_shows_them() {
    let mut settings = Settings::default();
    for (name, given, shown) in [
        ("statement_timeout", "5000", "5s"),
        ("statement_timeout", "1.5s", "1500ms"),
        ("statement_timeout", "120 min", "2h"),
        ("DATESTYLE", "iso, ymd", "ISO, YMD"),
        ("timezone", "europe/berlin", "Europe/Berlin"),
        ("timezone", "-3:30", "+03:30"),
        ("timezone", "+05:30", "-05:30"),
        ("timezone", "5", "+05:00"),
        ("timezone", "-3.5", "-03:30"),
        ("timezone", "<+05:30>", "+05:30"),
        ("timezone", "<-08>+08", "-08:00"),
        ("default_transaction_read_only", "t", "on"),
        ("standard_conforming_strings", "true", "on"),
        ("outcrop.access_path", "SCAN", "scan"),
        ("client_encoding", "utf-8", "UTF8"),
        ("client_encoding", "'utf-8'", "UTF8"),
        ("myapp.tenant", "7", "7"),
    ] {
        settings.set(name, given).unwrap();
        assert_eq!(settings.show(name).unwrap().1, shown, "{name} = {given}");
    }
    for (name, given, condition) in [
        ("statement_timeout", "-1", Condition::InvalidParameterValue),
        ("statement_timeout", "5 weeks", Condition::InvalidParameterValue),
        ("DateStyle", "German", Condition::FeatureNotSupported),
        ("TimeZone", "Mars/Olympus", Condition::InvalidParameterValue),
        ("extra_float_digits", "4", Condition::InvalidParameterValue),
        ("server_version", "16", Condition::CantChangeRuntimeParam),
        ("outcrop.access_path", "search", Condition::FeatureNotSupported),
        ("outcrop.access_path", "fast", Condition::InvalidParameterValue),
        ("outcrop.nothing", "1", Condition::UndefinedObject),
        ("nothing", "1", Condition::UndefinedObject),
        ("client_encoding", "LATIN1", Condition::FeatureNotSupported),
        ("outcrop.min_commit_seq", "yesterday", Condition::InvalidParameterValue),
    ] {
        assert_eq!(settings.set(name, given).unwrap_err().condition(), condition, "{name} = {given}");
    }
}

#[test]
fn a_change_is_reported_once() {
    let mut settings = Settings::default();
    assert!(settings.take_changes().iter().any(|(name, value)| name == "TimeZone" && value == "Etc/UTC"));
    assert!(settings.take_changes().is_empty());
    settings.set("timezone", "UTC").unwrap();
    settings.set("search_path", "x").unwrap();
    assert_eq!(settings.take_changes(), [("TimeZone".to_owned(), "UTC".to_owned())]);
}

#[test]
fn every_default_is_a_value_the_setting_takes() {
    for definition in super::registry::DEFINITIONS {
        if !matches!(definition.kind, super::registry::Kind::Internal) {
            assert_eq!(definition.check(definition.default).unwrap(), definition.default, "{}", definition.name);
        }
    }
}
