//! System tables of PostgreSQL that tools read and that have no rows here.

use datafusion::arrow::array::RecordBatch;
use outcrop_types::Result;

use super::rows::Kind::{Bool, Char, Float4, Int2, Int2List, Int4, Int8, Name, Oid, OidList, Text, TextList};
use super::rows::{Kind, Rows};

/// Tables without rows: things that Outcrop does not have, with the columns that clients name.
const EMPTY: &[(&str, &[(&str, Kind)])] = &[
    ("pg_auth_members", &[("roleid", Oid), ("member", Oid), ("grantor", Oid), ("admin_option", Bool)]),
    (
        "pg_cast",
        &[
            ("oid", Oid),
            ("castsource", Oid),
            ("casttarget", Oid),
            ("castfunc", Oid),
            ("castcontext", Char),
            ("castmethod", Char),
        ],
    ),
    (
        "pg_conversion",
        &[
            ("oid", Oid),
            ("conname", Name),
            ("connamespace", Oid),
            ("conowner", Oid),
            ("conforencoding", Int4),
            ("contoencoding", Int4),
            ("conproc", Oid),
            ("condefault", Bool),
        ],
    ),
    ("pg_db_role_setting", &[("setdatabase", Oid), ("setrole", Oid), ("setconfig", TextList)]),
    (
        "pg_default_acl",
        &[
            ("oid", Oid),
            ("defaclrole", Oid),
            ("defaclnamespace", Oid),
            ("defaclobjtype", Char),
            ("defaclacl", TextList),
        ],
    ),
    (
        "pg_depend",
        &[
            ("classid", Oid),
            ("objid", Oid),
            ("objsubid", Int4),
            ("refclassid", Oid),
            ("refobjid", Oid),
            ("refobjsubid", Int4),
            ("deptype", Char),
        ],
    ),
    ("pg_shdescription", &[("objoid", Oid), ("classoid", Oid), ("description", Text)]),
    ("pg_enum", &[("oid", Oid), ("enumtypid", Oid), ("enumsortorder", Float4), ("enumlabel", Name)]),
    (
        "pg_event_trigger",
        &[
            ("oid", Oid),
            ("evtname", Name),
            ("evtevent", Name),
            ("evtowner", Oid),
            ("evtfoid", Oid),
            ("evtenabled", Char),
            ("evttags", TextList),
        ],
    ),
    (
        "pg_extension",
        &[("oid", Oid), ("extname", Name), ("extowner", Oid), ("extnamespace", Oid), ("extversion", Text)],
    ),
    (
        "pg_foreign_data_wrapper",
        &[
            ("oid", Oid),
            ("fdwname", Name),
            ("fdwowner", Oid),
            ("fdwhandler", Oid),
            ("fdwvalidator", Oid),
            ("fdwacl", TextList),
            ("fdwoptions", TextList),
        ],
    ),
    ("pg_foreign_server", &[("oid", Oid), ("srvname", Name), ("srvowner", Oid), ("srvfdw", Oid)]),
    ("pg_foreign_table", &[("ftrelid", Oid), ("ftserver", Oid), ("ftoptions", TextList)]),
    ("pg_inherits", &[("inhrelid", Oid), ("inhparent", Oid), ("inhseqno", Int4), ("inhdetachpending", Bool)]),
    ("pg_language", &[("oid", Oid), ("lanname", Name), ("lanowner", Oid), ("lanispl", Bool), ("lanpltrusted", Bool)]),
    (
        "pg_locks",
        &[("locktype", Text), ("database", Oid), ("relation", Oid), ("pid", Int4), ("mode", Text), ("granted", Bool)],
    ),
    (
        "pg_matviews",
        &[
            ("schemaname", Name),
            ("matviewname", Name),
            ("matviewowner", Name),
            ("ispopulated", Bool),
            ("definition", Text),
        ],
    ),
    (
        "pg_operator",
        &[
            ("oid", Oid),
            ("oprname", Name),
            ("oprnamespace", Oid),
            ("oprleft", Oid),
            ("oprright", Oid),
            ("oprresult", Oid),
            ("oprcode", Oid),
        ],
    ),
    ("pg_opclass", &[("oid", Oid), ("opcmethod", Oid), ("opcname", Name), ("opcnamespace", Oid)]),
    ("pg_partitioned_table", &[("partrelid", Oid), ("partstrat", Char), ("partnatts", Int2), ("partattrs", Int2List)]),
    (
        "pg_policy",
        &[
            ("oid", Oid),
            ("polname", Name),
            ("polrelid", Oid),
            ("polcmd", Char),
            ("polpermissive", Bool),
            ("polroles", OidList),
            ("polqual", Text),
            ("polwithcheck", Text),
        ],
    ),
    (
        "pg_proc",
        &[
            ("oid", Oid),
            ("proname", Name),
            ("pronamespace", Oid),
            ("proowner", Oid),
            ("prolang", Oid),
            ("prokind", Char),
            ("prosecdef", Bool),
            ("proleakproof", Bool),
            ("proisstrict", Bool),
            ("proretset", Bool),
            ("provolatile", Char),
            ("proparallel", Char),
            ("pronargs", Int2),
            ("prorettype", Oid),
            ("proargtypes", OidList),
            ("prosrc", Text),
            ("proacl", TextList),
        ],
    ),
    (
        "pg_publication",
        &[
            ("oid", Oid),
            ("pubname", Name),
            ("pubowner", Oid),
            ("puballtables", Bool),
            ("pubinsert", Bool),
            ("pubupdate", Bool),
            ("pubdelete", Bool),
            ("pubtruncate", Bool),
        ],
    ),
    ("pg_publication_namespace", &[("oid", Oid), ("pnpubid", Oid), ("pnnspid", Oid)]),
    (
        "pg_publication_rel",
        &[("oid", Oid), ("prpubid", Oid), ("prrelid", Oid), ("prqual", Text), ("prattrs", Int2List)],
    ),
    ("pg_range", &[("rngtypid", Oid), ("rngsubtype", Oid), ("rngmultitypid", Oid)]),
    (
        "pg_rewrite",
        &[
            ("oid", Oid),
            ("rulename", Name),
            ("ev_class", Oid),
            ("ev_type", Char),
            ("ev_enabled", Char),
            ("is_instead", Bool),
        ],
    ),
    ("pg_seclabel", &[("objoid", Oid), ("classoid", Oid), ("objsubid", Int4), ("provider", Text), ("label", Text)]),
    (
        "pg_sequence",
        &[
            ("seqrelid", Oid),
            ("seqtypid", Oid),
            ("seqstart", Int8),
            ("seqincrement", Int8),
            ("seqmax", Int8),
            ("seqmin", Int8),
            ("seqcache", Int8),
            ("seqcycle", Bool),
        ],
    ),
    ("pg_sequences", &[("schemaname", Name), ("sequencename", Name), ("last_value", Int8)]),
    (
        "pg_statistic_ext",
        &[
            ("oid", Oid),
            ("stxrelid", Oid),
            ("stxname", Name),
            ("stxnamespace", Oid),
            ("stxstattarget", Int4),
            ("stxkind", TextList),
        ],
    ),
    ("pg_stat_user_tables", &[("relid", Oid), ("schemaname", Name), ("relname", Name), ("n_live_tup", Int8)]),
    (
        "pg_tablespace",
        &[("oid", Oid), ("spcname", Name), ("spcowner", Oid), ("spcacl", TextList), ("spcoptions", TextList)],
    ),
    (
        "pg_trigger",
        &[
            ("oid", Oid),
            ("tgrelid", Oid),
            ("tgparentid", Oid),
            ("tgname", Name),
            ("tgfoid", Oid),
            ("tgtype", Int2),
            ("tgenabled", Char),
            ("tgisinternal", Bool),
            ("tgconstraint", Oid),
        ],
    ),
    ("pg_views", &[("schemaname", Name), ("viewname", Name), ("viewowner", Name), ("definition", Text)]),
];

pub(super) fn empty_table(name: &str) -> Result<Option<RecordBatch>> {
    EMPTY.iter().find(|(known, _)| *known == name).map(|(_, columns)| Rows::new(columns).finish()).transpose()
}
