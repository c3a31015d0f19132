# docker build -t runge .
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" -w /data runge fit wing.csv
FROM python:3.12-slim-trixie
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src
# Any user, known to the system or not, can keep the compiled step and matplotlib's fonts below /tmp.
ENV HOME=/tmp USER=runge
USER nobody
ENTRYPOINT ["runge"]
