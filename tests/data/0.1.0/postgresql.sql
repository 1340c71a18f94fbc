


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;


CREATE TABLE public.applications (
    name character varying(256) NOT NULL COLLATE pg_catalog."C",
    application_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    type character varying(32) NOT NULL COLLATE pg_catalog."C",
    fields text NOT NULL,
    flags text NOT NULL,
    description text NOT NULL,
    contact text NOT NULL,
    user_accounts text NOT NULL,
    administrator_accounts text NOT NULL,
    ticket_timeout_minutes integer,
    revision bigint NOT NULL
);



CREATE TABLE public.audit (
    trail character varying(32) NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    at timestamp without time zone NOT NULL,
    actor character varying(1024) NOT NULL COLLATE pg_catalog."C",
    action character varying(256) NOT NULL COLLATE pg_catalog."C",
    subject character varying(1024) NOT NULL COLLATE pg_catalog."C",
    detail text NOT NULL,
    origin character varying(1024) NOT NULL COLLATE pg_catalog."C",
    result character varying(64) NOT NULL COLLATE pg_catalog."C",
    link bytea NOT NULL
);



CREATE TABLE public.audit_heads (
    trail character varying(32) NOT NULL COLLATE pg_catalog."C",
    base_sequence bigint NOT NULL,
    base_link bytea NOT NULL,
    sequence bigint NOT NULL,
    link bytea NOT NULL,
    sealed_sequence bigint NOT NULL,
    sealed_link bytea NOT NULL,
    sealed_version integer NOT NULL,
    mac bytea NOT NULL
);



CREATE TABLE public.backup (
    id integer NOT NULL,
    created_at timestamp without time zone NOT NULL,
    versions text NOT NULL
);



CREATE TABLE public.credentials (
    application character varying(256) NOT NULL COLLATE pg_catalog."C",
    "user" character varying(256) NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    ciphertext bytea NOT NULL,
    revision bigint NOT NULL
);



CREATE TABLE public.deliveries (
    event_id character varying(128) NOT NULL COLLATE pg_catalog."C",
    notifier character varying(256) NOT NULL COLLATE pg_catalog."C",
    parked_at timestamp without time zone,
    reason text
);



CREATE TABLE public.enrolments (
    token_hash character varying(128) NOT NULL COLLATE pg_catalog."C",
    name character varying(256) NOT NULL COLLATE pg_catalog."C",
    role character varying(32) NOT NULL COLLATE pg_catalog."C",
    expires_at timestamp without time zone NOT NULL,
    redeemed_at timestamp without time zone
);



CREATE TABLE public.guard (
    id integer NOT NULL,
    schema_version integer NOT NULL,
    epoch bigint NOT NULL,
    active_version integer,
    lease_holder character varying(256) COLLATE pg_catalog."C",
    lease_expires_at timestamp without time zone,
    lease_url character varying(1024) COLLATE pg_catalog."C",
    lease_ttl_ms bigint NOT NULL,
    first_revision bigint NOT NULL
);



CREATE TABLE public.identities (
    name character varying(256) NOT NULL COLLATE pg_catalog."C",
    role character varying(32) NOT NULL COLLATE pg_catalog."C",
    serial character varying(128) NOT NULL COLLATE pg_catalog."C",
    enrolled_at timestamp without time zone NOT NULL,
    revoked_at timestamp without time zone,
    expires_at timestamp without time zone,
    previous_serial character varying(128) NOT NULL COLLATE pg_catalog."C"
);



CREATE TABLE public.mappings (
    application character varying(256) NOT NULL COLLATE pg_catalog."C",
    "user" character varying(256) NOT NULL COLLATE pg_catalog."C",
    external_user character varying(256) NOT NULL COLLATE pg_catalog."C",
    enabled smallint NOT NULL,
    revision bigint NOT NULL
);



CREATE TABLE public.outbox (
    "position" bigint NOT NULL,
    event_id character varying(128) NOT NULL COLLATE pg_catalog."C",
    kind character varying(256) NOT NULL COLLATE pg_catalog."C",
    at timestamp without time zone NOT NULL,
    detail text NOT NULL,
    severity character varying(16) NOT NULL COLLATE pg_catalog."C"
);



CREATE SEQUENCE public.outbox_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;



ALTER SEQUENCE public.outbox_position_seq OWNED BY public.outbox."position";



CREATE TABLE public.rotation (
    id integer NOT NULL,
    paused_at timestamp without time zone,
    max_rows_per_second integer
);



CREATE TABLE public.servers (
    name character varying(256) NOT NULL COLLATE pg_catalog."C",
    instance character varying(256) NOT NULL COLLATE pg_catalog."C",
    versions_held text NOT NULL,
    seen_at timestamp without time zone NOT NULL,
    role character varying(32) NOT NULL COLLATE pg_catalog."C",
    url character varying(1024) NOT NULL COLLATE pg_catalog."C",
    problem text NOT NULL
);



CREATE TABLE public.system (
    id integer NOT NULL,
    system_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    created_at timestamp without time zone NOT NULL,
    settings text NOT NULL
);



CREATE TABLE public.used_tickets (
    ticket_id character varying(128) NOT NULL COLLATE pg_catalog."C",
    expires_at timestamp without time zone NOT NULL
);



CREATE TABLE public.versions (
    version integer NOT NULL,
    state character varying(16) NOT NULL COLLATE pg_catalog."C",
    created_at timestamp without time zone NOT NULL,
    check_value character varying(64) NOT NULL COLLATE pg_catalog."C",
    completed_at timestamp without time zone,
    compromised_at timestamp without time zone
);



ALTER TABLE ONLY public.outbox ALTER COLUMN "position" SET DEFAULT nextval('public.outbox_position_seq'::regclass);



COPY public.applications (name, application_id, type, fields, flags, description, contact, user_accounts, administrator_accounts, ticket_timeout_minutes, revision) FROM stdin;
Adapters	f8b6bd272ecc3fbe8b726d0883fb4371	config-store	[{"label":"User Id","masked":false},{"label":"Host","masked":false},{"label":"Password","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":false,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}			[]	[]	\N	1
EDI	cabf6ee1c9d7686fb9f81403c0b7cc70	group	[{"label":"User Id","masked":false},{"label":"Password","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":false,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}			["Purchasing"]	[]	\N	1
Größen & Maße	d3c8c06634ff1e1a697a9e1e37aba0b9	individual	[{"label":"User Id","masked":false},{"label":"Password","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":false,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}	ein Name, der nicht ASCII ist		[]	[]	\N	1
Mainframe	7f56e545853d5114a007a14d86d4bd95	host-group	[{"label":"User Id","masked":false},{"label":"Password","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":false,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}			["HOSTGROUP"]	[]	\N	1
SAP	b84849036b79296e910a5dab678d0815	individual	[{"label":"User Id","masked":false},{"label":"Client","masked":false},{"label":"Password","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":true,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}		sap@example.org	[]	[]	\N	1
メール	120d3dbb43a3ffbdf82f0c12c9013d39	individual	[{"label":"User Id","masked":false},{"label":"Password","masked":true},{"label":"PIN","masked":true}]	{"enabled":true,"host_initiated":false,"windows_initiated":true,"validate_password":true,"disable_credential_cache":false,"allow_tickets":false,"validate_tickets":true,"timeout_tickets":true,"allow_local_accounts":false,"administrators_same":false,"direct_password_sync":false}			[]	[]	\N	1
\.



COPY public.audit (trail, sequence, at, actor, action, subject, detail, origin, result, link) FROM stdin;
changes	1	2026-12-01 00:27:27.387438	administrator	system.configured	7a6d40c50409cc5dbcca4d32422ecae4	{}	vm	done	\\x68c58d0e465fcf5fc43bda317fb35793cbc33349843cb9d5cd71239b6fd3198a
changes	2	2026-12-01 00:27:40.115091	master	master.lease-taken	vm/16342/9756caac	{"url":"https://127.0.0.1:7443"}	vm	done	\\x5a5a8469803e735d2243e0ecd5b40e5237396c692b9a8f535ba0459531a16e2b
changes	3	2026-12-01 00:27:44.388733	administrator	application.created	SAP	{}	vm	done	\\xff134d48808c53fe5c0b1e863cc782d4b61a935fe42b377125861ba95b5c2cd3
changes	4	2026-12-01 00:27:50.500281	administrator	application.created	Größen & Maße	{}	vm	done	\\x92b6ddd164902f8f6aa9dc38a176490731275de82eb198a457402d11a43647d9
changes	5	2026-12-01 00:27:56.094192	administrator	application.created	メール	{}	vm	done	\\x63b0bf0e266ff778941adc4c09fc55ffd22d55513ea1fda4c03804a11f1f504f
changes	6	2026-12-01 00:28:01.924831	administrator	application.created	EDI	{}	vm	done	\\x816e7cfd795691b9b5bce2bbca0d7503dccc461a3a23970eeba600168a264aee
changes	7	2026-12-01 00:28:08.647933	administrator	application.created	Mainframe	{}	vm	done	\\x80157f34924abc2e02b4661107d48d3dcf3323cfc68798e2e6d9d535d1730a98
changes	8	2026-12-01 00:28:14.483125	administrator	application.created	Adapters	{}	vm	done	\\x3809091b059c4d3a2441cb9d3b82f25b11976933b3f206c33690b519309b99aa
changes	9	2026-12-01 00:28:19.285554	administrator	application.created	Left over	{}	vm	done	\\x21db504c04422a255ca9cd6044b80a6e2a546b4d318e7ef01d3345e2b6134be4
changes	10	2026-12-01 00:28:25.417445	administrator	mapping.set	SAP: anna.weber	{}	vm	done	\\x1689d8e24c119d5c8d46c1683cbffbd7a8d1c80eaf4a094d57e6145ef51ae6d9
changes	11	2026-12-01 00:28:31.342082	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x758a594f9cc3914206ceeb49bf1f53fb38f7f30cc416da715db856387d00c7dc
changes	12	2026-12-01 00:28:31.384422	administrator	credential.set	SAP: anna.weber	{}	vm	done	\\x418bfc9911b1ae85ed2208e940e2fde39b66c303c668ef7f3b4be717e479d6b0
changes	13	2026-12-01 00:28:36.496125	administrator	mapping.set	SAP: Ζωή	{}	vm	done	\\x0029bba3eec6d45f27e671380d3e77350f71c14f4145ea1b469518f0e697c090
changes	14	2026-12-01 00:28:42.337376	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\xd50550c45b5c91452d5cb86ba4bdefa0c7413240e461afd5a8526ff2ed11e9f6
changes	15	2026-12-01 00:28:42.374172	administrator	credential.set	SAP: Ζωή	{}	vm	done	\\x4180d3c395a7da29253dbba8e711f938e20dfb59815e0dd3d78869bd0c780850
changes	16	2026-12-01 00:28:46.721979	administrator	mapping.set	SAP: 李雷	{}	vm	done	\\x9daaa45038385c31fa5da94ff27e15c3afbc8b5c9f2b951ca481d824a22e0310
changes	17	2026-12-01 00:28:52.615749	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x93ab1b6dcd68aaac163bd8ee7567e251cebf1df67a53fdc49b98088bb21b08b7
changes	18	2026-12-01 00:28:52.639301	administrator	credential.set	SAP: 李雷	{}	vm	done	\\xee0cc52eacfba20bc8df72f396d61e79ebada6c7a5f9ebb1f06d3ced39184a1a
changes	19	2026-12-01 00:28:56.6614	administrator	mapping.set	SAP: o'brien; --	{}	vm	done	\\x0128e37b19073568bcaa6c3796f5fa4ca0c8ce0ddf231a2031c820fe6c6b5388
changes	20	2026-12-01 00:29:03.123209	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x06dc86a2b1434f5e190978ee2bbae75c5e570abee8a51decf604daf8c1b873bc
changes	21	2026-12-01 00:29:03.178481	administrator	credential.set	SAP: o'brien; --	{}	vm	done	\\xc816aec1424f230b6848c9f61ec7e9a4fb11754fbfba187bae88fedb8e1942e1
changes	22	2026-12-01 00:29:09.613308	administrator	mapping.set	Größen & Maße: NORDWIND\\Jürgen.Groß	{}	vm	done	\\x7efd507fc748e217bb08d65fc71f65c081dd57d480f40d0c2a417d5d1905cd11
changes	23	2026-12-01 00:29:13.847839	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x8c43678e0d8076195ca37170a92976127b26c2e89594bfd9cc86590267a73b52
changes	24	2026-12-01 00:29:13.863341	administrator	credential.set	Größen & Maße: NORDWIND\\Jürgen.Groß	{}	vm	done	\\xd68d64d8ffee94fa860dcd510fad78c7f3185ef4176427d75e5fb434da003e6e
changes	25	2026-12-01 00:29:18.618294	administrator	mapping.set	Größen & Maße: наташа	{}	vm	done	\\x343984d6cd5d8cd41ceb32a43d65acbc30689d6b3d1e2bfb31f674ea3a7bfed9
changes	26	2026-12-01 00:29:23.99129	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x7d7a4485a03ee317e9d53975a98ae9a975a4a52542a1df1d0b8d139413648248
changes	27	2026-12-01 00:29:24.027579	administrator	credential.set	Größen & Maße: наташа	{}	vm	done	\\x48393acc6d59da09cb2e1efdb9f1b7185349df6b73a441c2cd4e3e26a0cbee1b
changes	28	2026-12-01 00:29:29.687249	administrator	mapping.set	メール: наташа	{}	vm	done	\\xe97e077ff06074b6a21e6de3b48876597e9a6c6cf3ab08c62d0e299d86a87225
changes	29	2026-12-01 00:29:35.389606	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x99570f12d1e642c8474340ce672b560094d16e95df8337240e88299c67d04532
changes	30	2026-12-01 00:29:35.41856	administrator	credential.set	メール: наташа	{}	vm	done	\\x576803e007dba53d6c916e7ce7caae5ace45e1c58e8e6b6d2cdfc9273f4e9e4a
changes	31	2026-12-01 00:29:40.519865	administrator	mapping.set	メール: user 👍	{}	vm	done	\\x1cf93126f9e60672b7d140b2d5fc2dddf3288ad5adf91209aa7986111165181a
changes	32	2026-12-01 00:29:45.927541	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x1fb38b88e2d5a295fcc868b082fe54997ef56b0b8ee77c997a674175f86f6fc2
changes	33	2026-12-01 00:29:45.9474	administrator	credential.set	メール: user 👍	{}	vm	done	\\xc81b91a2c5cc1be2d44fb6d66a04b5561b205929ddc1341db83106092e573eab
changes	34	2026-12-01 00:29:50.813425	administrator	mapping.set	EDI: Purchasing	{}	vm	done	\\x67372de310faa5fc9f25e7612393e49957bac6e5e56e4ccbeb9fe7c0e7de6e70
changes	35	2026-12-01 00:29:59.30878	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\xe293845c89cad8fb404e426d8c2bca71e665f04cccb453b53e3733d9fc8c802f
changes	36	2026-12-01 00:29:59.357512	administrator	credential.set	EDI: Purchasing	{}	vm	done	\\x9cb4f9dc85a39cf489519c1d848ce49cb45bf977d7531459356ba332b5c3688c
changes	37	2026-12-01 00:30:06.254891	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x6f7e77fb2344b77b13aadb880c36c0df2296201a946248467891e0d1606ea22d
changes	38	2026-12-01 00:30:06.26412	administrator	credential.set	Adapters: ftp	{}	vm	done	\\x05b541e3f24c3c50b431c9a9c4943be3cf92d887972c263b4b4c8702957d1041
changes	39	2026-12-01 00:30:09.379736	administrator	secret.generated	version 2	{}	127.0.0.1	done	\\x0199265f146078da31ef1335e88b0f0b9be573e2a3476f73c32f5af801048ec1
changes	40	2026-12-01 00:30:09.379794	administrator	rotation.started	version 2	{}	127.0.0.1	done	\\xb92963b5192f5b1c6ce65d45bccf690c41d11e9cf8f62adb808d1b5de4ccb93d
changes	41	2026-12-01 00:30:09.39925	master secret server	version.activated	version 2	{}	vm	done	\\x72221792829a96b38819534a0386dcd6e27294c7865314d9cdcc39a007961307
changes	42	2026-12-01 00:30:09.446055	master secret server	rotation.finished	version 2	{"rows":10,"verified":10}	vm	done	\\x3cf18c680fc2ebce36ddeeeac36acadee234b6b7aee9fc1e3d657a9155724a69
changes	43	2026-12-01 00:30:14.509827	administrator	mapping.set	SAP: NORDWIND\\Jürgen.Groß	{}	vm	done	\\x7fec45fa1dd92ceaefe0d8a73857315603c3445b1f48777f03ec6d967e87ccd2
changes	44	2026-12-01 00:30:19.383625	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x219aa08a195437c787a667a42e02a9a2d280f4f1992f7062aa0fe8d724829f2d
changes	45	2026-12-01 00:30:19.388785	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x8e2342d60c18741d4fe4924fa88abc5a24b67491e6ced11e042dcb97f0538ca3
changes	46	2026-12-01 00:30:19.406188	administrator	credential.set	SAP: NORDWIND\\Jürgen.Groß	{}	vm	done	\\x6a92c4cc7f9b50b75bb5634159a692a343ec7c817ab49f2d8dbeb517a29438ef
changes	47	2026-12-01 00:30:24.269339	administrator	mapping.set	SAP: наташа	{}	vm	done	\\xbbe8b70d7239be9b7c4ef9d53acfc5bd8d07da9f09c463616d88c27cd26b3f3a
changes	48	2026-12-01 00:30:29.515289	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x227af27e8829e1a5c1dbffd3873a9ea8227f7d41e412af141aff7408fcb0c9c7
changes	49	2026-12-01 00:30:29.530309	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\xf5906113e802f600bc9eefff29e70d8e66e2956f289c43b1b81adacc9cf01bd1
changes	50	2026-12-01 00:30:29.562768	administrator	credential.set	SAP: наташа	{}	vm	done	\\x9609ceb4f3fbaf94afd793a6900d375a75b34c9391842eb0d3db7719b5de5ed4
changes	51	2026-12-01 00:30:36.109573	administrator	mapping.set	SAP: user 👍	{}	vm	done	\\xa85f3fff73ea0eecb13a1636ddeea662eb3ec39843f0dd4acb38eb3af7740a53
changes	52	2026-12-01 00:30:42.746254	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x12eb626e2f4c0b57d8a15dd90d9b4e4cbe9978eb2b561cb7cdad057204458f08
changes	53	2026-12-01 00:30:42.770978	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\xd685a9f3cc096108ac2edc1c3eee6d8546cc113ad9f1f5bbe0f0d0f8e22f3ec4
changes	54	2026-12-01 00:30:42.790145	administrator	credential.set	SAP: user 👍	{}	vm	done	\\x42153a33eb428546c41bda52578af1e2f79a0e0f66a6ae114d4cbf3cc612f71d
changes	55	2026-12-01 00:30:49.851847	administrator	mapping.set	Größen & Maße: anna.weber	{}	vm	done	\\x75146ab7672990bdf530bce03695d78208e8b4483e322ef453c2c326297631e0
changes	56	2026-12-01 00:30:58.551453	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x5b95f3332dda58593f5bd8f4e6072aa6d090ad4bd9e7537222d0694a03e163ce
changes	57	2026-12-01 00:30:58.571366	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x0db037d166e12902f03cefd20d2efcf4819ce67e8202f5dd260538ee8a060edf
changes	58	2026-12-01 00:30:58.585156	administrator	credential.set	Größen & Maße: anna.weber	{}	vm	done	\\x028646dd11a22c4a4802f799da74fa870731c3fc91e5f15ad70261c45d9d5020
changes	59	2026-12-01 00:31:04.190682	administrator	mapping.set	Größen & Maße: Ζωή	{}	vm	done	\\x0f4cde9486aabbcb2eded9756b773822a176c1a85e94708859daea64bcf0ba2b
changes	60	2026-12-01 00:31:13.40422	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\xf273a1b394e8d7c7c6bd38546fc862f3b2350e98419da6670c88d59997bb7788
changes	61	2026-12-01 00:31:13.42974	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x229a798fe372d078b3f317656c127faeb4f609b750463895e65e226c32b684d1
changes	62	2026-12-01 00:31:13.459068	administrator	credential.set	Größen & Maße: Ζωή	{}	vm	done	\\x347971e6e00f48aa59ce75c8961d9dcc1b0b0ac36e0ddd2e55ca3cae230b1227
changes	63	2026-12-01 00:31:24.634256	administrator	mapping.set	メール: Ζωή	{}	vm	done	\\x9ad4a3d0f44d7e11887ac8ed12ee82a8ff52eee0a6155bde78293f6a5bfc0cf6
changes	64	2026-12-01 00:31:30.509232	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\xbb8fdb284c690d250fb35d0a0ff42461ab0e2fe7707287ab24542c0398217ca7
changes	65	2026-12-01 00:31:30.52681	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x6bd7cb3acdeda8af9a325515bc01156c0152519b6276b552451d747a686ec7fb
changes	66	2026-12-01 00:31:30.550865	administrator	credential.set	メール: Ζωή	{}	vm	done	\\xa1f52113f6e13cc842b25a82b3164cd0574a644fbdf3d77e2a3d2490439b0c64
changes	67	2026-12-01 00:31:37.182462	administrator	mapping.set	メール: 李雷	{}	vm	done	\\xfcf6a8c1266aa3bd55a21fa963da9280b6aa3d5020a577bba20560848eab10a4
changes	68	2026-12-01 00:31:49.879676	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x7d63406006d0fa9dd6d2c2d1604d053aae3d3699b97ce9307b1765dc331c4fde
changes	69	2026-12-01 00:31:49.921377	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x74def59bba9a2c2277dd6718f1a94442b88342b72ae5b8095e7bd9145ad4e4c9
changes	70	2026-12-01 00:31:50.14044	administrator	credential.set	メール: 李雷	{}	vm	done	\\x71723bbb78df296b980f5b23b03a2cb1f53e34c2da45e3786b110a6ceeb08990
changes	71	2026-12-01 00:31:57.616129	administrator	mapping.set	メール: o'brien; --	{}	vm	done	\\x55cdcd543f310c5cad426ce2dd844d6a3acda9c9dd49bd19f0db56caee818b7b
changes	72	2026-12-01 00:32:05.6863	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x324ef82be3528f96663981f49155eb6a21e18005e9ba52eb03cf1b3170c944d5
changes	73	2026-12-01 00:32:05.711883	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\xcb5af23f6ed09ed62720f7262c937337f2705ba0a7202a87075b915df89979bb
changes	74	2026-12-01 00:32:05.758524	administrator	credential.set	メール: o'brien; --	{}	vm	done	\\x109f20346b40d8a559df9f2143087d81e54924394260f60c70fa5f959df5db08
changes	75	2026-12-01 00:32:13.748504	administrator	mapping.set	SAP: only mapped	{}	vm	done	\\x8fb9b3374114c36c8deaa72ff6e948e7dd53edf98a0108fc8a3607331c1d39f3
changes	76	2026-12-01 00:32:26.206133	administrator	mapping.set	Mainframe: HOST	{}	vm	done	\\x466aabf2beb682e5ae87c8036ad96a7f121e04d00771fde9dad602fdd6190b76
changes	77	2026-12-01 00:32:35.018569	administrator	settings.administrators-named	system	{}	vm	done	\\x0c9966a230f33cd2cc7e2949f9e312e11b2bd44a8d78696bd52b0bc0a3aaa0e9
changes	78	2026-12-01 00:32:40.024038	administrator	identity.token-made	web-01	{"role":"server"}	127.0.0.1	done	\\xb078a64c2a71b499c29c6d9493a85ed7a6c5743b453bd1d413bc31f70ce88fe8
changes	79	2026-12-01 00:32:45.810396	administrator	identity.token-made	web-02	{"role":"server"}	127.0.0.1	done	\\xe8db824c600d7c7a999d1cef53fbee962728da430e54c74b13d8693a53821db6
changes	80	2026-12-01 00:32:51.155355	administrator	identity.token-made	payroll	{"role":"application"}	127.0.0.1	done	\\x1df6745d5396ae591c7f450e6c75ebb5c05dc126b5f1914031bc9cda36b90456
changes	81	2026-12-01 00:32:56.411661	web-01	identity.enrolled	web-01	{"role":"server"}	vm	done	\\xb32ec457ecdc3c3eb888b0b99e2792e984ce976797e248a276e2fc20e0c5b42b
changes	82	2026-12-01 00:33:00.04063	payroll	identity.enrolled	payroll	{"role":"application"}	vm	done	\\x7752118b55dd43ccb4d44c71d6c995ca1f2715f1fa75e0b106ebb65f9996430f
changes	83	2026-12-01 00:33:05.018883	administrator	identity.revoked	payroll	{}	127.0.0.1	done	\\xd2d3f678fe88a713c38f03cecbea13a9c83823b8e9f13ff979baf80cdbb47379
changes	84	2026-12-01 00:33:13.727738	web-01	version.fetched	version 1	{"role":"server"}	127.0.0.1	done	\\x3a42a82b0ca0bc81204a798923698500efb77ce50a290c743aadb0a21cd03c6a
changes	85	2026-12-01 00:33:13.739398	web-01	version.fetched	version 2	{"role":"server"}	127.0.0.1	done	\\x647f07e812e17c64979f18c8010212cb8fa3b06563f95b58a7956dc50b91f898
changes	86	2026-12-01 00:33:21.124818	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x3669314a5c6a062a9ba550dffb9e88d12b7c007eb961d65937e65a5af03297bf
changes	87	2026-12-01 00:33:21.129807	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x5b6c8d5d36bad287c0b01cd14fd3c7e76f15651315f71082642bfb541662adbb
changes	88	2026-12-01 00:33:26.049923	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x65c60da545e9d2512633131756d32864f2df837f3e4a7649f6e9f04209c2b0dc
changes	89	2026-12-01 00:33:26.073649	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x37b5a50e264c68bc355bb7d76dde4b42378a6e160b618abf2eda92f6c636228c
changes	90	2026-12-01 00:33:26.082557	administrator	ticket.redeemed	SAP: anna.weber	{"requester":"administrator"}	vm	done	\\xbf9006dd192987a1bb14e86337fb03d0fe7396205bec14972e6c5086e80b72d7
changes	91	2026-12-01 00:33:29.716033	administrator	version.fetched	version 1	{"role":"administrator"}	127.0.0.1	done	\\x52d344f9aa9b45352758f77322303cf5c3d82c80ed9c6f10c2bca3dbb4afd9a9
changes	92	2026-12-01 00:33:29.733856	administrator	version.fetched	version 2	{"role":"administrator"}	127.0.0.1	done	\\x194791f123426a84402007b241d9dca2b2271faf0699fd5506003639e0a91cce
changes	93	2026-12-01 00:33:37.633599	administrator	backup.made	versions 1,2	{}	127.0.0.1	done	\\xae2f0323817dec63f72f6d95e6550276b70592ec0b4688232590243c4b40995d
deleted-applications	1	2026-12-01 00:32:18.869416	administrator	application.deleted	Left over	{}	vm	done	\\x6aa6a3c6c336a295fdf8464c48b7698ee90faa6953a16b09a7cfcc0e84f2baaa
changes	94	2026-12-01 00:34:14.832908	administrator	system.moved	sqlite:////tmp/tmp7xlzm0h4/system/keysvc.db	{}	vm	done	\\x2be3128baa445e43e0254a029376c57c049f63290281fa8cce588d3ee4f2ed56
\.



COPY public.audit_heads (trail, base_sequence, base_link, sequence, link, sealed_sequence, sealed_link, sealed_version, mac) FROM stdin;
deleted-applications	0	\\x0000000000000000000000000000000000000000000000000000000000000000	1	\\x6aa6a3c6c336a295fdf8464c48b7698ee90faa6953a16b09a7cfcc0e84f2baaa	1	\\x6aa6a3c6c336a295fdf8464c48b7698ee90faa6953a16b09a7cfcc0e84f2baaa	2	\\x4cfaa8102b8c7c3f36118c36744d214df711e30a6def700e33df42340a29a119
deleted-mappings	0	\\x0000000000000000000000000000000000000000000000000000000000000000	0	\\x0000000000000000000000000000000000000000000000000000000000000000	0	\\x0000000000000000000000000000000000000000000000000000000000000000	2	\\xbf78827fc05ae3cdfe298c68813f72f1c1519eb16327c7f0fde993d33ddb2b4b
lookups	0	\\x0000000000000000000000000000000000000000000000000000000000000000	0	\\x0000000000000000000000000000000000000000000000000000000000000000	0	\\x0000000000000000000000000000000000000000000000000000000000000000	2	\\x9cbcfdd83493b52404b11947a7beef4bbf6bb158720ae1c8cb46fc218ee3d212
changes	0	\\x0000000000000000000000000000000000000000000000000000000000000000	94	\\x2be3128baa445e43e0254a029376c57c049f63290281fa8cce588d3ee4f2ed56	93	\\xae2f0323817dec63f72f6d95e6550276b70592ec0b4688232590243c4b40995d	2	\\x7fc7ea72474f7c1ef55a29227c7494e079c9c346cc9caf0927b742c74f002f9e
\.



COPY public.backup (id, created_at, versions) FROM stdin;
1	2026-12-01 00:33:29.754434	[1,2]
\.



COPY public.credentials (application, "user", version, ciphertext, revision) FROM stdin;
Adapters	ftp	2	\\x01000000026dc77aae275dd99916946f0e5f7d9e84411ea2b3e5bd30cf5fe029284599d39f0d1b880e84b8f5f543d9865019262a7103c01434d716018e81e41331c9a2cf3c815d4f04b9000988179f61ebf6b7	1
EDI	Purchasing	2	\\x01000000026ca2df84e99740359d6dab5b9bcace3bbd38771f8c78d085d201e8cc9b6bd28bf8b1e37b739cba0b6feed88ae34c6f9eed96b1087e	1
Größen & Maße	NORDWIND\\Jürgen.Groß	2	\\x01000000024b3ec6ee04cc749fd4d5fc64e415390c7864bcf1dc731363941e73dbdd1ec15841923f6b55a3466658b4dbbec355af30632eeec167	1
Größen & Maße	anna.weber	2	\\x01000000028674b15ee8c3b0a8f4b5ed37d7cbdcac384bda08988a3fd3b282bea4d2a755b7aa925ef8d3bfcf4d978f4fa4276841798344c0b085	1
Größen & Maße	Ζωή	2	\\x010000000257ab01829065472dc3e635b0482084086d6a97964db7f1c52a6458ae61b3f1310f4799c6ffb14a4dc21f66ab13c3b9e416a4a0a456	1
Größen & Maße	наташа	2	\\x0100000002bc3d91f758c5254003a5e4ca42dc73d1bb0198d2383e4472bf32cc6dbb84e76ee35eb9fd6e610349aee86dcb73502e81bb37be723c	1
SAP	NORDWIND\\Jürgen.Groß	2	\\x0100000002326946716cd0294bcbdfd7e2043f2f2332eed847ebd70fda2463d40c20ec3997af1e21f4b5a6398c50db37f7c5dd112cc3395ffae095b39489e868c5b4171201fac4	1
SAP	anna.weber	2	\\x0100000002be4a4a14d526695ab64a9215516ef1a4688465e7b2d59884cac8c11107527115cd6f222fd7958a70233c51ee1dcd875e0de2c3458b70ede53ba66fa776bb40f85700	1
SAP	o'brien; --	2	\\x0100000002a3e1a03b6e6514dcee244551969543944397f0856e7a49ef008eee962b7e675b49162bd1a64af92cc4df46072017300cf623665433fbef89b067fa844094e0f845cf	1
SAP	user 👍	2	\\x0100000002d568f0790b7cbcffa295c20bdea15b7cb4d29574d77f2985955b39ccf6d223b8d7da631f0b2f7fd800a5f71b89a7d39d8be5acc936413a544e423d12fbff66bdc9b2	1
SAP	Ζωή	2	\\x01000000027f2182b8673f033c749dc2481301ba11446e55f4cb2ea2cfb57c799115368cbc094e62353fb26d187a05998e3f019ee371ad0fd9e202c8dc5f4a2e7376c4af610d0a	1
SAP	наташа	2	\\x01000000027d50fb53ecbdfb58bdf0e57d4cb7fa09d11df6a5eec9586e893089c7cad74266cb1b75ea4d61d7e92a6c13adee2009396bf597bebbf36a9acb2170d608411382b7fb	1
SAP	李雷	2	\\x0100000002eaa374477fa0af0d9572d0e32066c85157cada143e1b1e377342b6f652ccdf01de4e50ea1b8816366253ac35066f07fa02883f72d3692a7356f9fd955d42da8f98f0	1
メール	o'brien; --	2	\\x0100000002c9638ffedd1cf98fdbc10067993de4b99c6c8f9d8fa98633ea6503237d1d91c39b058f7af424ab64d8fc4cf0baf17aac27338297bbb212e3f4a097d2e9	1
メール	user 👍	2	\\x0100000002770c554211079402bfee9b5a6dce971bfa9e5227772c4573afb49399405fd4b4503d5217a731cfa80b99078ad1440436d0bd891a4fa9329a5ce3d16efd	1
メール	Ζωή	2	\\x010000000262d17e3d87be83d86a980ac6970b585aa8b2b2d73e92e09a3d62397efeb328f8cfcb365f01fd8bae25236accf17e941ffd32b20051dcbac9ee6eb5406e	1
メール	наташа	2	\\x0100000002b462f473def90d0fa101bddbb2047b4253d8504a647478ddbc539099d19bb7cec36ede5b40cd6f9ee542d85a33d4cdbbed4b68ab182bf4765cfffb5e60	1
メール	李雷	2	\\x0100000002534fd380c80c0e7d8638706e5e7a9beecf399c2fdf5f671564c32a11b447dbd2bb46eb57cd43359a1de17ce2a0236879bab45d6cdcda8415fcdee18418	1
\.



COPY public.deliveries (event_id, notifier, parked_at, reason) FROM stdin;
\.



COPY public.enrolments (token_hash, name, role, expires_at, redeemed_at) FROM stdin;
\.



COPY public.guard (id, schema_version, epoch, active_version, lease_holder, lease_expires_at, lease_url, lease_ttl_ms, first_revision) FROM stdin;
1	1	4	2	vm/30785/b3ecd342	2026-12-01 00:34:15.002881		0	1
\.



COPY public.identities (name, role, serial, enrolled_at, revoked_at, expires_at, previous_serial) FROM stdin;
administrator	administrator	d4d592c1cf11cbb711d2eb40413988b	2026-12-01 00:27:27.18382	\N	2027-12-01 00:27:27	
master	master	44492240dbef458dc556fc995ba4d1b8	2026-12-01 00:27:27.18382	\N	2027-12-01 00:27:27	
payroll	application	353a4ff3637f579a0082828acda6d47d	2026-12-01 00:33:00.039734	2026-12-01 00:33:05.018848	2027-12-01 00:33:00	
web-01	server	37d51aba8c552aa166bb35a645f19d46	2026-12-01 00:32:56.406214	\N	2027-12-01 00:32:56	
\.



COPY public.mappings (application, "user", external_user, enabled, revision) FROM stdin;
Adapters	ftp	ftp	1	1
EDI	Purchasing	PURCHASING@EDI	1	1
Größen & Maße	NORDWIND\\Jürgen.Groß	NORDWIND\\JÜRGEN.GROSS@Größen & Maße	1	1
Größen & Maße	anna.weber	ANNA.WEBER@Größen & Maße	1	1
Größen & Maße	Ζωή	ΖΩΉ@Größen & Maße	1	1
Größen & Maße	наташа	НАТАША@Größen & Maße	1	1
Mainframe	HOST	HOST	1	1
SAP	NORDWIND\\Jürgen.Groß	NORDWIND\\JÜRGEN.GROSS@SAP	1	1
SAP	anna.weber	ANNA.WEBER@SAP	1	1
SAP	o'brien; --	O'BRIEN; --@SAP	1	1
SAP	only mapped	ONLY	1	1
SAP	user 👍	USER 👍@SAP	1	1
SAP	Ζωή	ΖΩΉ@SAP	1	1
SAP	наташа	НАТАША@SAP	1	1
SAP	李雷	李雷@SAP	1	1
メール	o'brien; --	O'BRIEN; --@メール	1	1
メール	user 👍	USER 👍@メール	1	1
メール	Ζωή	ΖΩΉ@メール	1	1
メール	наташа	НАТАША@メール	1	1
メール	李雷	李雷@メール	1	1
\.



COPY public.outbox ("position", event_id, kind, at, detail, severity) FROM stdin;
1	12f018ac681b4535bbe2bef8239ae47e	system.configured	2026-12-01 00:27:27.387483	{"subject":"7a6d40c50409cc5dbcca4d32422ecae4"}	notice
2	420dcf19014744d880f72fbe5890d743	master.lease-taken	2026-12-01 00:27:40.115144	{"subject":"vm/16342/9756caac","url":"https://127.0.0.1:7443"}	notice
3	52f7dda6a36f4d53b581669aa6dd2f6c	secret.generated	2026-12-01 00:30:09.379777	{"subject":"version 2"}	notice
4	247c8eb1afda4e8ab2e32dc8ba04c889	rotation.started	2026-12-01 00:30:09.379803	{"subject":"version 2"}	notice
5	356fb027d9984e83973242ba7d95b4ff	version.activated	2026-12-01 00:30:09.399287	{"subject":"version 2"}	notice
6	dd027f52396f42fcac8ca2f71463f77c	rotation.finished	2026-12-01 00:30:09.446097	{"subject":"version 2","rows":10,"verified":10}	notice
7	2517830ff42947bb8ff61bb72a2c627e	identity.enrolled	2026-12-01 00:32:56.411699	{"subject":"web-01","role":"server"}	notice
8	7a3b720d219d442f8cd782fe4a0b5e8f	identity.enrolled	2026-12-01 00:33:00.040672	{"subject":"payroll","role":"application"}	notice
9	91886604bf894e80a1c17ccc96036364	identity.revoked	2026-12-01 00:33:05.01892	{"subject":"payroll"}	notice
10	24776da0b37848bab931a1f711e54a5f	server.stale	2026-12-01 00:33:17.192568	{"subject":"web-01","last_seen":"2026-12-01 00:33:16 UTC"}	warning
11	31c796c5a23c471cb83078898d0c3f53	backup.made	2026-12-01 00:33:37.633648	{"subject":"versions 1,2"}	notice
\.



COPY public.rotation (id, paused_at, max_rows_per_second) FROM stdin;
1	\N	\N
\.



COPY public.servers (name, instance, versions_held, seen_at, role, url, problem) FROM stdin;
\.



COPY public.system (id, system_id, created_at, settings) FROM stdin;
1	7a6d40c50409cc5dbcca4d32422ecae4	2026-12-01 00:27:27.38738	{"administrators":"","affiliate_administrators":"Operators;Größen-Team","secret_server":"","ticket_timeout_minutes":2,"credential_cache_minutes":60,"audit_deleted_applications":1000,"audit_deleted_mappings":1000,"audit_credential_lookups":1000,"audit_changes":100000,"audit_positive_level":0,"audit_negative_level":1,"enabled":true}
\.



COPY public.used_tickets (ticket_id, expires_at) FROM stdin;
8d16516a544387b96c636fdbfceab47f	2026-12-01 00:35:21
\.



COPY public.versions (version, state, created_at, check_value, completed_at, compromised_at) FROM stdin;
1	retiring	2026-12-01 00:27:27.368331	9e470d626d33d530	2026-12-01 00:27:27.387407	\N
2	active	2026-12-01 00:30:09.357646	f1f6f6d07700274c	2026-12-01 00:30:09.446104	\N
\.



SELECT pg_catalog.setval('public.outbox_position_seq', 11, true);



ALTER TABLE ONLY public.applications
    ADD CONSTRAINT applications_pkey PRIMARY KEY (name);



ALTER TABLE ONLY public.audit_heads
    ADD CONSTRAINT audit_heads_pkey PRIMARY KEY (trail);



ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (trail, sequence);



ALTER TABLE ONLY public.backup
    ADD CONSTRAINT backup_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_pkey PRIMARY KEY (application, "user");



ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (event_id, notifier);



ALTER TABLE ONLY public.enrolments
    ADD CONSTRAINT enrolments_pkey PRIMARY KEY (token_hash);



ALTER TABLE ONLY public.guard
    ADD CONSTRAINT guard_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_pkey PRIMARY KEY (name);



ALTER TABLE ONLY public.mappings
    ADD CONSTRAINT mappings_pkey PRIMARY KEY (application, "user");



ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_event_id_key UNIQUE (event_id);



ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.rotation
    ADD CONSTRAINT rotation_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.servers
    ADD CONSTRAINT servers_pkey PRIMARY KEY (name, instance);



ALTER TABLE ONLY public.system
    ADD CONSTRAINT system_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.used_tickets
    ADD CONSTRAINT used_tickets_pkey PRIMARY KEY (ticket_id);



ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (version);



CREATE INDEX credentials_by_version ON public.credentials USING btree (version, application, "user");



CREATE INDEX mappings_by_external_user ON public.mappings USING btree (application, external_user);



CREATE INDEX used_tickets_by_end ON public.used_tickets USING btree (expires_at);



ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credential_mapping FOREIGN KEY (application, "user") REFERENCES public.mappings(application, "user") ON DELETE CASCADE;



ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.outbox(event_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.mappings
    ADD CONSTRAINT mappings_application_fkey FOREIGN KEY (application) REFERENCES public.applications(name) ON DELETE CASCADE;




