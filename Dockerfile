# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/scanner
ENV PATH=/opt/scanner/bin:$PATH
WORKDIR /src
COPY requirements/run.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml setup.py README.md ./
COPY native native
COPY scanner scanner
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && SCANNER_PURE= python -c "from scanner.codes import NATIVE; assert NATIVE, 'the native extension was not built'" \
 && python -c "from scanner.service.fast_lane import unfit; assert not unfit(), unfit()"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/scanner scanner
COPY --from=build /opt/scanner /opt/scanner
ENV PATH=/opt/scanner/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SCANNER_DATA_DIR=/var/lib/scanner \
    SCANNER_HOST=0.0.0.0 \
    SCANNER_OPS_HOST=0.0.0.0
USER scanner
WORKDIR /var/lib/scanner
VOLUME /var/lib/scanner
# The public port; the operations port (9090) is for the inside only, and is not published.
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('SCANNER_OPS_PORT', '9090') + '/livez', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["scanner", "serve"]
