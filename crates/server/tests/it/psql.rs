//! The real `psql`, where there is one.

use std::process::{Command, Output};

use crate::support::TestServer;

/// Where Debian keeps it beside the PATH.
const PLACES: [&str; 2] = ["psql", "/usr/lib/postgresql/15/bin/psql"];

fn psql(server: &TestServer, script: &str) -> Option<Output> {
    let port = server.port().to_string();
    PLACES.iter().find_map(|place| {
        Command::new(place)
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "anna",
                "-d",
                "outcrop",
            ])
            .args(["-c", script])
            .output()
            .ok()
    })
}

fn run(server: &TestServer, scripts: &[(&str, &str)]) {
    for (script, wanted) in scripts {
        let Some(output) = psql(server, script) else { return };
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{script}: {complaints}");
        assert!(printed.contains(wanted), "{script}: {printed:?} lacks {wanted:?}");
    }
}

#[test]
fn psql_works_and_describes() {
    let server = TestServer::start();
    run(
        &server,
        &[
            ("create table flights (id int primary key, carrier text not null, delay numeric(6,2) default 0)", ""),
            ("insert into flights (id, carrier) values (1, 'UA'), (2, 'AA')", ""),
            ("select * from flights order by id", "1|UA|0.00\n2|AA|0.00\n"),
            ("update flights set delay = 1.5 where id = 2 returning delay", "1.50"),
            ("copy flights to stdout with (format csv)", "2,AA,1.50"),
            ("select version()", "Outcrop"),
            ("\\dt", "flights"),
            ("\\d flights", "carrier|text|"),
            ("\\dn", "commons"),
            ("\\l", "outcrop"),
            ("\\df", ""),
        ],
    );
}
