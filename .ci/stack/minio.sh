# MinIO on one folder. It is AGPL: a process of its own, nothing of ours links it.

minio_key=tolkflip
minio_secret=tolkflip-secret

start_minio() {
  get_minio
  alive minio || launch minio env MINIO_ROOT_USER=$minio_key MINIO_ROOT_PASSWORD=$minio_secret MINIO_BROWSER=off MINIO_UPDATE=off \
    "$minio" server --quiet --address "127.0.0.1:$(port minio)" "$dir/minio/data"
}

ready_minio() { wait_for 60 minio answer minio_answers; }

minio_answers() (
  alive minio && exec 3<>"/dev/tcp/127.0.0.1/$(port minio)" && printf 'GET /minio/health/ready HTTP/1.1\r\nHost: minio\r\nConnection: close\r\n\r\n' >&3 &&
    read -r -t 5 reply <&3 && [[ $reply == *" 200 "* ]]
) 2>/dev/null

env_minio() { echo "TOLKFLIP_TEST_S3=http://$minio_key:$minio_secret@127.0.0.1:$(port minio)"; }
