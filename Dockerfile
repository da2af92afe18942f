# One static binary in an empty image, run by nobody in particular.
#
#   docker build -t tolkflip .
#   docker run -p 3000:3000 -v tolkflip-data:/data --ulimit nofile=1048576 tolkflip
#
# No Docker engine has built this file yet. Its steps were done by hand on Debian 12: the same build, and the
# binary with what else is in the image, run by user 65532 in a root directory of its own.

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY conn conn
COPY httpapi httpapi
COPY proto proto
COPY router router
COPY store store
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /image/tolkflip ./cmd/tolkflip \
 && mkdir /image/data /image/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /image /
USER 65532:65532
ENV TOLKFLIP_HOST=0.0.0.0 TOLKFLIP_DATA=/data TOLKFLIP_LOG_FORMAT=json
VOLUME /data
EXPOSE 3000-3011
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/tolkflip", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/tolkflip"]
CMD ["serve"]
