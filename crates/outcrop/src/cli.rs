//! Commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Outcrop, a real-time analytics database.
#[derive(Debug, Parser)]
#[command(name = "outcrop", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server on a data directory.
    Serve(ServeArguments),
    /// Watch this machine's own processes through a database that runs for the purpose.
    Demo(DemoArguments),
    /// Run SQL on a server, interactively or from -c or standard input.
    Sql(SqlArguments),
    /// Load a CSV, NDJSON or Parquet file into a table of a running server.
    Load(LoadArguments),
    /// Verify every file of a data directory that no server uses, or of a backup.
    Check(CheckArguments),
    /// Take a backup of a running server, or of a data directory that no server uses.
    Backup(BackupArguments),
    /// Make a data directory of a backup, as it was at its end or at an earlier moment.
    Restore(RestoreArguments),
    /// Manage users and API keys.
    User(UserArguments),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Directory of the database [default: ./outcrop-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// TOML file with settings; OUTCROP_* variables and flags win over it
    #[arg(long, value_name = "FILE", env = "OUTCROP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// `outcrop serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// Address of the PostgreSQL protocol [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDR")]
    pub(crate) pg_listen: Option<String>,
    /// Address of the REST interface, or "off" [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http_listen: Option<String>,
    /// Log level, or a filter such as info,outcrop_engine=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Log format: compact or full [default: compact]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// `outcrop demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// End after this many seconds; without it Ctrl-C ends the demo
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
    /// Keep the database in this directory; without it, a temporary one that is removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the PostgreSQL protocol; port 0 takes a free one [default: 127.0.0.1:5433 if it is free]
    #[arg(long, value_name = "ADDR")]
    pub(crate) pg_listen: Option<String>,
    /// Address of the REST interface [default: 127.0.0.1:8090 if it is free]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http_listen: Option<String>,
}

/// Which server, and who we are there.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArguments {
    /// Server: host:port or a postgres:// URL, with sslmode and sslrootcert if wanted. The password is read from
    /// PGPASSWORD, or asked for
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5433", env = "OUTCROP_PG")]
    pub(crate) pg: String,
    /// User name [default: $PGUSER, else outcrop]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

/// `outcrop sql`
#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Statement to run instead of reading from standard input; may be given several times
    #[arg(short, long = "command", value_name = "STMT")]
    pub(crate) commands: Vec<String>,
}

/// `outcrop load`
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// File to load: .csv, .tsv, .ndjson, .jsonl or .parquet; text also as .gz or .zst; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Table to load into, or schema.table; it is created if it is missing
    #[arg(long, value_name = "T")]
    pub(crate) table: String,
    /// Columns of the primary key of a table that is created
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub(crate) key: Vec<String>,
    /// Replace rows whose key is there already; without it they are rejected
    #[arg(long)]
    pub(crate) upsert: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// What the file is, if its name does not tell
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<FileFormat>,
    /// Text that stands for NULL in a CSV file, beside empty cells; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) null: Vec<String>,
    /// Character between the cells of a CSV file [default: found out from the first line]
    #[arg(long, value_name = "CHAR")]
    pub(crate) delimiter: Option<char>,
    /// Rows that are read to find out the types of a new table
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sample: u32,
    /// Give up when more rows than this are rejected
    #[arg(long, value_name = "ROWS", default_value_t = 1_000)]
    pub(crate) rejects_max: u64,
}

/// Format of a file to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileFormat {
    /// Cells between delimiters; the first line names the columns.
    Csv,
    /// One JSON object on each line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

/// `outcrop backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Directory of the backup, on the machine of the server: empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// An earlier backup of the same database: what it has is not copied again, where the file system can share files
    #[arg(long, value_name = "DIR")]
    pub(crate) since: Option<PathBuf>,
    /// Data directory of a server that is stopped, instead of a running server
    #[arg(long, value_name = "DIR", conflicts_with_all = ["pg", "user"])]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// `outcrop restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// Directory of the backup
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Data directory of the new database: empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Last moment to restore: the number of a commit, a position (outcrop.commit_seq), or a time such as
    /// "2026-11-23 12:00:00+01" (UTC without a zone)
    #[arg(long, value_name = "MOMENT")]
    pub(crate) until: Option<String>,
}

/// `outcrop check`
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Directory of the database, or of a backup
    #[arg(long, value_name = "DIR", default_value = "./outcrop-data", env = "OUTCROP_DATA")]
    pub(crate) data: PathBuf,
}

/// `outcrop user`
#[derive(Debug, Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user or change a password; the password is asked for, or read from standard input
    Add {
        /// Name of the user
        name: String,
        /// Make an API key of this name instead; it is shown once
        #[arg(long, value_name = "KEY_NAME")]
        api_key: Option<String>,
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// List users and the names of their API keys
    List {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Remove a user and its API keys
    Remove {
        /// Name of the user
        name: String,
        #[command(flatten)]
        config: ConfigArguments,
    },
}
