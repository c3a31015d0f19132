# docker build -t runge . && docker run --rm -v "$PWD:/data" -w /data runge fit wing.csv
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src
ENTRYPOINT ["runge"]
