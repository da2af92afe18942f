package cassandra

// Tables hold no collection that is ever changed in place, have no index and are never filtered. Ids are
// uuid columns: uuids of one version sort by their bytes. Times are Unix milliseconds.
//
// Which clock a row's writes have, so that late and repeated ones do no harm:
//
//	messages              USING TIMESTAMP epoch<<32 | seq
//	threads               previews: the seq; last_bucket: the bucket; rows of the first message: 0;
//	                      whether a group lives: the group's rev
//	threads_by_user       the seq of the message that moved it; 0 for the first
//	groups_by_user        the rev of the group at which the member came or went
//	devices_by_user       the token's gen
//	cursors               the seq, delivered and read apart
//	users.last_active     the time it says, in microseconds
//	users, users_by_phone, sessions_by_user, groups, device_tokens, media, log_slots
//	                      conditions alone: the servers' ballots
//	message_ids, revoked, revoked_buckets, thread_settings, log_nodes
//	                      the driver's clock: rows that never change, or whose last writer may win
type migration struct {
	name       string
	statements []string // each may be done again; %s is the keyspace
}

// tables is version 1. A table's name is what stands before the bracket.
func tables() []string {
	return []string{
		`users (user_id uuid, phone text, name text, avatar text, bio text, language text, languages frozen<list<text>>,
			created bigint, blocked boolean, last_active bigint, PRIMARY KEY (user_id))`,
		`users_by_phone (phone text, user_id uuid, PRIMARY KEY (phone))`,
		`sessions_by_user (user_id uuid, session_id uuid, version bigint static, device text, created bigint,
			expires bigint, refresh uuid, PRIMARY KEY (user_id, session_id))`,
		`revoked (bucket int, shard tinyint, expires bigint, user_id uuid, session_id uuid, at bigint, opener uuid,
			PRIMARY KEY ((bucket, shard), expires, user_id, session_id, at, opener))`,
		`revoked_buckets (part text, bucket int, PRIMARY KEY (part, bucket))`,
		`devices_by_user (user_id uuid, push_token text, platform text, added bigint, PRIMARY KEY (user_id, push_token))`,
		`device_tokens (token_hash blob, user_id uuid, former uuid, gen bigint, PRIMARY KEY (token_hash))`,
		`cursors (thread_id uuid, user_id uuid, delivered bigint, read bigint, PRIMARY KEY (thread_id, user_id))`,
		`groups (group_id uuid, rev bigint static, state tinyint static, name text static, description text static,
			avatar text static, created_by uuid static, created bigint static, settings frozen<map<text, text>> static,
			members int static, user_id uuid, role tinyint, joined bigint, language text, PRIMARY KEY (group_id, user_id))`,
		`groups_by_user (user_id uuid, group_id uuid, PRIMARY KEY (user_id, group_id))`,
		`threads (thread_id uuid, a uuid, b uuid, created bigint, group_created bigint, last_bucket bigint, last_seq bigint,
			last_ts bigint, last_sender uuid, last_type tinyint, last_text text, PRIMARY KEY (thread_id))`,
		`threads_by_user (user_id uuid, thread_id uuid, peer uuid, last_ts bigint, PRIMARY KEY (user_id, thread_id))`,
		`thread_settings (thread_id uuid, user_id uuid, language text, original boolean, emotion boolean,
			PRIMARY KEY ((thread_id, user_id)))`,
		`media (media_id uuid, owner uuid, thread_id uuid, name text, type text, size bigint, width int, height int,
			key text, thumbnail text, created bigint, PRIMARY KEY (media_id))`,
		`messages (thread_id uuid, bucket bigint, seq bigint, epoch int, start bigint, indexed bigint static, message_id uuid, sender uuid,
			receiver uuid, sent bigint, type tinyint, client_id blob, language blob, content blob, encrypted blob,
			media frozen<list<blob>>, reply_to uuid, PRIMARY KEY ((thread_id, bucket), seq, epoch))`,
		`message_ids (message_id uuid, thread_id uuid, seq bigint, sent bigint, body_hash blob, PRIMARY KEY (message_id))`,
		`log_slots (log text, version bigint static, slot int, owner uuid, epoch int, PRIMARY KEY (log, slot))`,
		`log_nodes (log text, node uuid, address text, pid int, beat bigint, PRIMARY KEY (log, node))`,
	}
}

// migrations are all versions of the schema, the first being 1. What was released is never changed: a new
// version is added at the end.
func migrations() []migration {
	first := migration{name: "the tables of the first release"}
	for _, t := range tables() {
		first.statements = append(first.statements, createTable(t))
	}
	return []migration{first}
}
