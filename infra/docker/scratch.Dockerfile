# dunlin as a container made of nothing but its Debian package and the packages that this needs: for places that reach
# no registry. infra/docker/root.sh lays them out; the image holds dunlin, glibc, root certificates, and a user who is
# not root; no shell.
#   infra/docker/root.sh dunlin_*.deb target/root && buildah bud -f infra/docker/scratch.Dockerfile -t dunlin target/root
FROM scratch
COPY tree /
COPY --chown=65532:65532 store /store
ENV DUNLIN_LISTEN=0.0.0.0:8080 DUNLIN_STORE=file:/store
USER 65532:65532
VOLUME /store
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/dunlin"]
CMD ["serve"]
